"""Traces from somebody else: the puzzles' solver, another checkpoint, a server, a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from observe_r1.config.rollout import Endpoint
from observe_r1.config.teach import (
    CheckpointTeacher,
    FileTeacher,
    GoldTeacher,
    SolverTeacher,
    TeachStage,
)
from observe_r1.data.chats import read_chats
from observe_r1.data.traces import SampleIndex, TraceRow, TraceSet, read_traces
from observe_r1.records import append_rows
from observe_r1.stages.handover import LoadPolicy, traces_folder
from observe_r1.stages.solver import solve
from observe_r1.stages.writing import (
    METRICS,
    LeftOut,
    Notify,
    draw_traces,
    is_written,
    keep_traces,
)  # fmt: skip
from observe_r1.types import Sample


def run_teach(
    stage: TeachStage,
    *,
    teacher_model: str,
    questions: Sequence[Sample],
    run: Path,
    policy: LoadPolicy,
    known: TraceSet | None = None,
    notify: Notify = lambda step, metrics: None,
) -> None:
    """Let the teacher write, filter, and keep the traces; ``teacher_model`` is where a checkpoint
    teacher's weights are, or the name that a server knows its model by."""
    if is_written(run):
        return
    left_out: LeftOut = {}
    match stage.teacher:
        case SolverTeacher():
            traces = _solved(stage, stage.teacher, questions)
        case GoldTeacher():
            traces = _golds(stage, questions)
        case FileTeacher():
            traces = _from_file(stage, stage.teacher)
        case CheckpointTeacher() | Endpoint() as teacher:
            engine = teacher if isinstance(teacher, Endpoint) else teacher.engine
            traces, left_out = draw_traces(
                stage, questions, model=teacher_model, engine=engine, origin=teacher.model,
                run=run, notify=notify, known=known,
            )  # fmt: skip
    kept = keep_traces(stage, traces, run, policy, left_out)
    if isinstance(stage.teacher, SolverTeacher | GoldTeacher | FileTeacher):
        metrics = {"traces/written": float(len(traces)), "traces/kept": float(len(kept))}
        append_rows(run / METRICS, [{"step": 1, **metrics}])
        notify(1, metrics)


def _solved(stage: TeachStage, teacher: SolverTeacher, questions: Sequence[Sample]) -> TraceSet:
    families = [name for name in stage.questions.families if ":" in name]
    rows = [
        solve(
            sample, teacher, grammar=stage.grammar, number=number, seed=stage.seed,
            stage=stage.name, families=families,
        )
        for sample in questions
        for number in range(stage.attempts)
    ]  # fmt: skip
    return _asked_as(stage, TraceSet(tuple(rows), SampleIndex(questions)))


def _asked_as(stage: TeachStage, traces: TraceSet) -> TraceSet:
    """Traces that name no prompt of their own answer the stage's."""
    if stage.system_prompt is None:
        return traces
    return traces.with_rows(
        row if row.system_prompt is not None else replace(row, system_prompt=stage.system_prompt)
        for row in traces.rows
    )


def _golds(stage: TeachStage, questions: Sequence[Sample]) -> TraceSet:
    rows = [
        TraceRow(
            sample_id=sample.id, response=f"<answer>{sample.answer}</answer>", grammar="answer",
            system_prompt=stage.system_prompt, origin="gold", stage=stage.name, correct=True,
        )
        for sample in questions
    ]  # fmt: skip
    return TraceSet(tuple(rows), SampleIndex(questions))


def _from_file(stage: TeachStage, teacher: FileTeacher) -> TraceSet:
    path = Path(teacher.path).expanduser()
    if path.is_dir():
        return _asked_as(stage, read_traces(traces_folder(path)))
    return _asked_as(stage, read_chats(path, stage.grammar))
