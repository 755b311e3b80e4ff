"""A recipe inside verl (Ray, FSDP, vLLM), through verl's own doors and with nothing patched.

Before the run, on any machine (no verl, no torch):

    settings.py   RLStage → verl's settings, by name
    refusals.py   what verl cannot express, each with its reason
    sizes.py      how long prompts can get, how many steps the data make
    export.py     the folder: data, verl.yaml, plan.json, run.sh, README.md

During the run, what a completion passes through (process, and the door it came in by):

    driver          dataset.py   the curriculum decides the order          data.custom_cls
    reward worker   reward.py    every reward by name, one completion      reward.reward_manager
    driver          buffer.py    groups: bonus, admission, weights         trainer.v1.sampler
    driver          advantage.py what the groups said, row by row          register_adv_est
    actor worker    losses.py    our losses on verl's tensors              register_policy_loss

``plugin.py`` registers the last two in every process of the run. ``credit.py`` holds what happens
to a group, free of verl; ``live.py`` what the pieces of the driver share; ``plan.py`` the recipe.
"""
