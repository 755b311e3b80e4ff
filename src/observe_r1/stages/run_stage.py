"""One stage of a run: what it needs is looked up, what it leaves lies in its folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from observe_r1.config.order import sources_of
from observe_r1.config.params import Merge
from observe_r1.config.run import RunConfig
from observe_r1.config.stages import (
    AskingStage,
    DPOStage,
    JudgeStage,
    ParamsStage,
    RLStage,
    SampleStage,
    SFTStage,
    Stage,
    TeachStage,
)  # fmt: skip
from observe_r1.config.teach import CheckpointTeacher, FileTeacher
from observe_r1.data.traces import TraceSet
from observe_r1.rollout.base import RolloutEngine
from observe_r1.stages.handover import Handover, LoadPolicy
from observe_r1.stages.judge import run_judge, with_judges
from observe_r1.stages.measure import measure_held_out
from observe_r1.stages.questions import choose_questions, refuse_overlap
from observe_r1.stages.waiting import done_by_first
from observe_r1.train.purse import Purse, fill_purse
from observe_r1.types import Sample

if TYPE_CHECKING:
    from observe_r1.policy.load import Policy

Notify = Callable[[str, int, int | None, dict[str, float]], None]
"""Told after every step: the stage's name, the step, how many there will be, its metrics."""


@dataclass(frozen=True, slots=True)
class Work:
    """What all stages of a run share.

    Example:
        Work(run, Handover(run, out), samples, held_out=(), resume=False, notify=show)
    """

    run: RunConfig
    handover: Handover
    samples: Sequence[Sample]
    """The run's own questions."""
    held_out: Sequence[Sample]
    resume: bool
    notify: Notify

    def questions(self, stage: TeachStage | SampleStage | RLStage) -> Sequence[Sample]:
        """What a stage asks; nothing of it may be what the run is measured on."""
        if stage.questions.is_everything:
            return self.samples
        found = choose_questions(stage.questions, self.run.data)
        refuse_overlap(self.held_out, found, f"the questions of stage '{stage.name}'")
        return found

    def measure(
        self, stage: AskingStage, folder: Path
    ) -> Callable[[RolloutEngine, int], dict[str, float]]:
        return partial(measure_held_out, self.run.heldout, self.held_out, stage, folder)

    def told(self, stage: Stage, total: int | None) -> Callable[[int, dict[str, float]], None]:
        return lambda step, metrics: self.notify(stage.name, step, total, metrics)

    def purse(self, stage: Stage) -> Purse:
        """What the stages before have left of the run's budget."""
        earlier = {
            other.name: folder
            for folder, other in self.handover.before(stage.name)
            if not isinstance(other, TeachStage)  # a teacher's tokens are not the model's
        }
        return fill_purse(self.run.budget, earlier, stage.name)

    def model(self, stage: Stage, folder: Path) -> str:
        """Where the weights are that a stage starts from."""
        return self.handover.start(stage, folder)


def run_stage(work: Work, stage: Stage, folder: Path) -> None:
    """Run a stage, or go on with it, to its end."""
    match stage:
        case RLStage():
            _together(lambda: _run_rl(work, stage, folder))
        case SFTStage():
            _together(lambda: _run_sft(work, stage, folder))
        case DPOStage():
            _together(lambda: _run_dpo(work, stage, folder))
        case TeachStage() | SampleStage():
            done_by_first(lambda: _write_traces(work, stage, folder), folder, "traces.jsonl")
        case JudgeStage():
            done_by_first(lambda: _run_judge(work, stage, folder), folder, "judge.json")
        case ParamsStage():
            done_by_first(lambda: _run_params(work, stage, folder), folder, "checkpoints/latest")


def _run_rl(work: Work, stage: RLStage, folder: Path) -> None:
    from observe_r1.stages.rl import count_steps, run_rl

    samples = work.questions(stage)
    run_rl(
        with_judges(stage, work.handover.folder), model=work.model(stage, folder),
        samples=samples, run=folder, resume=work.resume,
        measure=work.measure(stage, folder),
        notify=work.told(stage, count_steps(stage, len(samples))), purse=work.purse(stage),
        held_out=work.held_out,
    )  # fmt: skip


def _run_sft(work: Work, stage: SFTStage, folder: Path) -> None:
    from observe_r1.stages.sft import run_sft
    from observe_r1.stages.supervised import count_steps

    model = work.model(stage, folder)
    policy = _policy_loader(model)
    traces = work.handover.all_traces(stage.traces, stage, policy)
    validation = {s.name: work.handover.traces(s, stage, policy) for s in stage.validation}
    _refuse_measured(work, stage, traces)
    run_sft(
        stage, model=model, traces=traces, validation=validation, run=folder, resume=work.resume,
        measure=work.measure(stage, folder),
        notify=work.told(stage, count_steps(stage, len(traces))), purse=work.purse(stage),
    )  # fmt: skip


def _run_dpo(work: Work, stage: DPOStage, folder: Path) -> None:
    from observe_r1.stages.dpo import run_dpo

    model = work.model(stage, folder)
    policy = _policy_loader(model)
    chosen = work.handover.traces(stage.chosen, stage, policy)
    rejected = work.handover.traces(stage.rejected, stage, policy, side="rejected")
    _refuse_measured(work, stage, chosen)
    run_dpo(
        stage, model=model, chosen=chosen, rejected=rejected, run=folder, resume=work.resume,
        measure=work.measure(stage, folder), notify=work.told(stage, stage.max_steps),
        purse=work.purse(stage),
    )  # fmt: skip


def _write_traces(work: Work, stage: TeachStage | SampleStage, folder: Path) -> None:
    from observe_r1.stages.sample import run_sample
    from observe_r1.stages.teach import run_teach

    folder.mkdir(parents=True, exist_ok=True)
    model = work.model(stage, folder)
    policy = _policy_loader(model)
    known = None
    for source in sources_of(stage):
        known = work.handover.traces(source, stage, policy)
    if isinstance(stage, SampleStage):
        run_sample(
            stage, model=model, questions=work.questions(stage), run=folder, policy=policy,
            known=known, notify=work.told(stage, None),
        )  # fmt: skip
        return
    teacher = stage.teacher
    where = work.handover.weights(teacher.model, stage.name) if isinstance(
        teacher, CheckpointTeacher
    ) else ""  # fmt: skip
    questions = () if isinstance(teacher, FileTeacher) else work.questions(stage)
    run_teach(
        stage, teacher_model=where, questions=questions, run=folder, policy=policy, known=known,
        notify=work.told(stage, None),
    )  # fmt: skip


def _run_judge(work: Work, stage: JudgeStage, folder: Path) -> None:
    policy = _policy_loader(work.model(stage, folder))
    run_judge(
        stage, style=work.handover.traces(stage.style, stage, policy),
        other=work.handover.traces(stage.other, stage, policy), run=folder,
        notify=work.told(stage, 1),
    )  # fmt: skip


def _run_params(work: Work, stage: ParamsStage, folder: Path) -> None:
    from observe_r1.stages.params import named_models, run_params

    merges = [operation for operation in stage.operations if isinstance(operation, Merge)]
    names = {name for operation in merges for name in named_models(operation)}
    others = {name: work.handover.weights(name, stage.name) for name in names}
    run_params(
        stage, model=work.model(stage, folder), others=others, run=folder,
        notify=work.told(stage, 1),
    )  # fmt: skip


def _policy_loader(model: str) -> LoadPolicy:
    """Loads the weights a stage starts from, once, if a filter wants to measure with them."""

    @cache
    def load() -> "Policy":
        from observe_r1.stages.engines import load_for_asking

        return load_for_asking(model)

    return load


def _refuse_measured(work: Work, stage: Stage, traces: TraceSet) -> None:
    if work.held_out:
        used = {row.sample_id for row in traces.rows}
        asked = (traces.samples[sample_id] for sample_id in used)
        refuse_overlap(work.held_out, asked, f"the traces of stage '{stage.name}'")


def _together(work: Callable[[], None]) -> None:
    """Done by all processes; a lost one ends the others with a sentence."""
    from observe_r1.train.distribute import naming_lost_peers

    with naming_lost_peers():
        work()
