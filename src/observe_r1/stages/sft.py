"""A supervised stage: traces are learnt with TRL's SFTTrainer.

traces ─▶ examples (prompt as in RL, response, which tokens are learnt) ─▶ steps ─▶ checkpoint
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from observe_r1.config.sft import SFTStage
from observe_r1.data.traces import TraceSet
from observe_r1.policy.load import Policy
from observe_r1.stages.examples import Example, ExampleMaker, collate
from observe_r1.stages.scoring import mean_loss
from observe_r1.stages.supervised import (
    Measure,
    Notify,
    Progress,
    make_plan,
    run_trainer,
    scratch_folder,
    start,
)  # fmt: skip
from observe_r1.train.purse import Purse

NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
}
"""TRL's names of what it reports, and ours."""


def run_sft(
    stage: SFTStage,
    *,
    model: str,
    traces: TraceSet,
    run: Path,
    validation: Mapping[str, TraceSet] | None = None,
    resume: bool = False,
    measure: Measure | None = None,
    notify: Notify | None = None,
    purse: Purse | None = None,
) -> Path:
    """Train and return the folder of the last checkpoint.

    Example:
        run_sft(SFTStage(max_steps=100), model="tiny", traces=read_traces(folder), run=out)
    """
    begun = start(stage, model, run, resume)
    maker = ExampleMaker(begun.policy, stage.loss_on)
    examples = maker.make_all(traces, stage.name)
    maker.check_length(examples, stage.name)
    held_out = {n: maker.make_all(t, stage.name) for n, t in (validation or {}).items()}
    plan = make_plan(
        stage, len(examples), begun.first_step, begun.processes.count,
        _response_lengths(stage, examples),
    )  # fmt: skip
    progress = Progress(
        stage, begun, run, measure=measure, notify=notify, names=NAMES, purse=purse,
        validate=lambda: _losses(begun.policy, held_out),
        window=-(-len(examples) // stage.examples_per_step),
    )  # fmt: skip
    with scratch_folder() as scratch:
        from observe_r1.stages.trainers import span_trainer  # TRL takes seconds to import

        trainer = span_trainer(
            begun.policy, stage, plan, scratch, on_step=progress,
            collate=lambda places: collate(begun.policy, [examples[i] for i in places]),
        )  # fmt: skip
        return run_trainer(trainer, progress, begun, stage, model, run)


def _response_lengths(stage: SFTStage, examples: Sequence[Example]) -> list[int] | None:
    """A step's gradient does not depend on its order. TRL's share of tokens that are right is a
    mean of passes and does, so where it decides, examples stay as they are drawn. Of prompts the
    length is not known before their pictures are read."""
    if stage.until_token_accuracy is not None:
        return None
    return [len(example.ids_T) for example in examples]


def _losses(policy: Policy, held_out: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    return {f"eval/loss/{name}": mean_loss(policy, found) for name, found in held_out.items()}
