"""The README of an exported folder."""

from observe_r1.config.evaluation import HeldOut
from observe_r1.integrations.verl.plan import Plan
from observe_r1.integrations.verl.settings import Cluster, trackers
from observe_r1.integrations.verl.sizes import Sizes

TEXT = """\
# {recipe} on a Ray cluster, with verl

Written by `observe-r1 export verl` {version}: recipe **{recipe}**, preset **{preset}**, model `{model}`,
{questions:,} questions of `{data}`, {steps:,} steps of {prompts} prompts × {group} completions.

## Start

    ./run.sh                                     # this machine: {gpus} GPUs
    ./run.sh trainer.nnodes=2                    # a Ray cluster of two such nodes, from its head
    PYTHON=/path/to/env/bin/python ./run.sh      # another environment

Anything after `run.sh` is an override of verl's settings; `verl.yaml` holds those that differ from verl's
defaults. Started again, it goes on from the last checkpoint. On several nodes this folder must be at the
same path everywhere, and every node needs the environment:

    pip install 'observe-r1[verl]' vllm          # Python 3.11 or 3.12; verl pins torch and Transformers

## What is here

| file | |
|---|---|
| `verl.yaml` | verl's settings |
| `plan.json` | the recipe's stage, read by the plug-in `observe_r1.integrations.verl` on every node |
| `data/` | questions in verl's schema, pictures and system prompt inside |
{rewards}| `checkpoints/ rollouts/ validation/{boards}` | appear when it runs |

Prompts are at most {prompt_tokens:,} tokens long (a bound for Qwen-VL processors, {images} image(s) at most). If verl
says that a prompt exceeds `rollout.prompt_length`, raise `data.max_prompt_length`.{measured}

## Afterwards

    python -m verl.model_merger merge --backend fsdp \\
        --local_dir checkpoints/global_step_{steps}/actor --target_dir model
    observe-r1 eval model --data DIR --out eval

## What differs from `observe-r1 train`

{differences}

## What differs from the paper

{deviations}
"""


def readme(
    plan: Plan, cluster: Cluster, sizes: Sizes, differences: list[str], heldout: HeldOut | None
) -> str:
    return TEXT.format(
        recipe=plan.recipe,
        version=plan.written_by,
        preset=plan.preset,
        model=plan.model,
        questions=plan.questions,
        data=plan.data,
        steps=plan.steps,
        prompts=plan.stage.prompts_per_step,
        group=plan.stage.group_size,
        gpus=cluster.gpus,
        rewards="| `rewards/` | files of your own that rewards read |\n"
        if _has_files(plan)
        else "",
        prompt_tokens=sizes.prompt_tokens,
        images=sizes.images,
        boards=" tensorboard/" if "tensorboard" in trackers(plan) else "",
        measured=_measured(plan, heldout),
        differences=_list(differences),
        deviations=_list(plan.deviations),
    )


def _has_files(plan: Plan) -> bool:
    return '"rewards/' in plan.model_dump_json()


def _measured(plan: Plan, heldout: HeldOut | None) -> str:
    if heldout is None:
        return (
            "\n\nNothing is measured during training: `data/val.parquet` holds one question because "
            "verl wants\nthe file. Export with `heldout.data=DIR rl.eval_every=20` to measure."
        )
    if not plan.stage.eval_every:
        return "\n\nHeld-out questions are there; `./run.sh trainer.test_freq=20` measures them."
    return (
        f"\n\nEvery {plan.stage.eval_every} steps {heldout.samples} sampled answers to each held-out "
        f"question are graded:\n`val-core/…/acc/mean@{heldout.samples}` is the accuracy, `reward/NAME` "
        "every reward by name."
    )


def _list(lines: "list[str] | tuple[str, ...]") -> str:
    return "\n".join(f"- {line}" for line in lines) or "Nothing."
