"""Refuse, before time is spent, a recipe whose inputs are not there.

check_launch     processes that a stage cannot be trained by
check_traces     folders and files of traces
check_weights    models that are named, and those that are merged
check_questions  sources and choices of questions
"""

from collections.abc import Collection

from observe_r1.config.order import judges_of, needs_moments, user_code_of
from observe_r1.config.params import ParamsStage
from observe_r1.config.questions import PUZZLES
from observe_r1.config.run import RunConfig
from observe_r1.config.stage_base import BASE, PREVIOUS
from observe_r1.config.stages import RLStage, SampleStage, Stage, TeachStage
from observe_r1.config.teach import FileTeacher, SolverTeacher
from observe_r1.errors import ConfigError, DataError
from observe_r1.stages.check_launch import check_launch
from observe_r1.stages.check_questions import check_questions
from observe_r1.stages.check_traces import check_traces
from observe_r1.stages.check_weights import check_weights, refuse_text_only
from observe_r1.stages.handover import writes_weights
from observe_r1.stages.questions import load_questions
from observe_r1.user_code import load_callable


def check_inputs(run: RunConfig, finished: Collection[str] = ()) -> None:
    """Everything that a stage reads and no earlier stage writes must be there already, but for the
    stages of a resumed run that have ended: they read no more."""
    stages = run.active_stages
    left = [stage for stage in stages if stage.name not in finished]
    check_launch(left)
    refuse_text_only(run.model, f"the run trains {run.model}")
    for stage in left:
        _check_stage(run, stage, stages[: stages.index(stage)])


def _check_stage(run: RunConfig, stage: Stage, earlier: list[Stage]) -> None:
    check_traces(stage, earlier)
    check_weights(run, stage, earlier)
    _check_judges(stage, earlier)
    for place in user_code_of(stage):
        load_callable(place, f"stage '{stage.name}'", " in it, or name what is there")
    if isinstance(stage, RLStage):
        _check_room(stage)
    if isinstance(stage, TeachStage | SampleStage | RLStage):
        _check_asked(stage, run.data)
    if needs_moments(stage):
        _check_moments(stage, earlier)


ROOM_FOR_PROMPT = 4096


def _check_room(stage: RLStage) -> None:
    """Whether a prompt fits is seen when it is encoded; that none can is seen now."""
    new, budget = stage.sampling.max_new_tokens, stage.policy.max_tokens_per_microbatch
    if new >= budget:
        raise ConfigError(
            f"stage '{stage.name}': one completion and its prompt must fit into a row, but "
            f"policy.max_tokens_per_microbatch = {budget} leaves nothing beside "
            f"sampling.max_new_tokens = {new}. Set {stage.name}.policy.max_tokens_per_microbatch="
            f"{new + ROOM_FOR_PROMPT}, or ask for fewer new tokens."
        )


def _check_judges(stage: Stage, earlier: list[Stage]) -> None:
    """A judge that another recipe's stage has fitted is read now: it is small."""
    from observe_r1.rewards.style_judge import load_judge

    names = {other.name for other in earlier}
    for judge in judges_of(stage):
        if judge not in names:
            load_judge(judge)


def _check_asked(stage: TeachStage | SampleStage | RLStage, data: str) -> None:
    teacher = stage.teacher if isinstance(stage, TeachStage) else None
    if isinstance(teacher, FileTeacher):
        return  # it brings its own questions
    check_questions(stage, data)
    if isinstance(teacher, SolverTeacher):
        _check_solver(stage.name, stage.questions.source or data)


def _check_solver(stage: str, source: str) -> None:
    if source == PUZZLES:
        return
    found = load_questions(source)
    if not any(found[i].id.startswith("puzzles-") for i in range(min(len(found), 1))):
        raise DataError(
            f"stage '{stage}' is taught by the puzzles' solver, but {source} does not "
            "hold puzzles. Let a checkpoint, an endpoint or a file teach, or set "
            f"{stage}.questions.source = '{PUZZLES}' (with a stream and a count)."
        )


def _check_moments(stage: Stage, earlier: list[Stage]) -> None:
    """The optimizer that is to be kept must be one that a stage leaves."""
    if stage.start_from == PREVIOUS:
        before = next((s for s in reversed(earlier) if writes_weights(s)), None)
    else:
        before = next((s for s in earlier if s.name == stage.start_from), None)
        if before is None and stage.start_from != BASE:
            return  # another run's checkpoint, which is looked at when it is read
    dropped = isinstance(before, ParamsStage) and before.optimizer == "reset"
    if before is None or dropped:
        why = f"'{before.name}' drops it" if before else "no stage before it leaves one"
        raise ConfigError(
            f"stage '{stage.name}' is to keep the optimizer it finds, but {why}. Set "
            "optimizer_state (or, for params, optimizer) accordingly."
        )
