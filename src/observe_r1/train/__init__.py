"""The RL loop and what it stands on.

loop.py        choose, generate, score, observe, weigh, optimise, sync, record: one screen
draw.py        the first half of a step, with re-drawn prompts when groups are rejected
ahead.py       draws made before the steps that train on them
optimise.py    one update: micro-batches, backward, clip, step
rows.py        weighted groups → packed rows → micro-batches
masters.py     float32 copies of weights that are trained in half precision
reference.py   the model that KL terms look back to
schedule.py    the learning rate of an update
health.py      when training must stop: no signal, not finite
purse.py       what is left of a budget of tokens
metrics.py     the metrics of a step; metric_table.py has unit and meaning of each
clock.py       seconds of each phase; memory.py the memory of a step
recorder.py    writes the run folder
trackers.py    tells tensorboard, wandb or trackio
state.py       where a run stands: checkpoints and resume
distribute.py  one process or many; launch.py what started them
"""
