"""Rejection sampling: the present weights answer, and what passes the filters is learnt from."""

from collections.abc import Sequence
from pathlib import Path

from observe_r1.config.sample import SampleStage
from observe_r1.data.traces import TraceSet
from observe_r1.stages.handover import LoadPolicy
from observe_r1.stages.writing import Notify, draw_traces, is_written, keep_traces
from observe_r1.types import Sample


def run_sample(
    stage: SampleStage,
    *,
    model: str,
    questions: Sequence[Sample],
    run: Path,
    policy: LoadPolicy,
    known: TraceSet | None = None,
    notify: Notify = lambda step, metrics: None,
) -> None:
    """Draw, filter and write; what was drawn before a stop is not drawn again."""
    if is_written(run):
        return
    traces, left_out = draw_traces(
        stage, questions, model=model, engine=stage.engine, origin=stage.name, run=run,
        notify=notify, known=known,
    )  # fmt: skip
    keep_traces(stage, traces, run, policy, left_out)
