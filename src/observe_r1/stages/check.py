"""Refuse, before time is spent, a recipe whose inputs are not there."""

from pathlib import Path

from observe_r1.config.order import models_of, needs_moments, sources_of
from observe_r1.config.params import Merge, ParamsStage
from observe_r1.config.run import RunConfig
from observe_r1.config.stage_base import BASE, PREVIOUS
from observe_r1.config.stages import Stage, TeachStage
from observe_r1.config.teach import FileTeacher, SolverTeacher
from observe_r1.config.traces import LAST
from observe_r1.data.traces import TRACES
from observe_r1.errors import ConfigError, DataError
from observe_r1.stages.handover import traces_folder, writes_weights
from observe_r1.stages.models import locate_model
from observe_r1.stages.questions import PUZZLES, load_questions


def check_inputs(run: RunConfig) -> None:
    """Everything that a stage reads and no earlier stage writes must be there already."""
    stages = run.active_stages
    names = {stage.name for stage in stages}
    for place, stage in enumerate(stages):
        for source in sources_of(stage):
            if source.source != LAST and source.source not in names:
                _check_traces(stage.name, source.source)
        for model in models_of(stage):
            if model not in names:
                locate_model(model)
        if isinstance(stage, TeachStage):
            _check_teacher(stage, run.data)
        if isinstance(stage, ParamsStage):
            _check_merges(stage, run.model, names)
        if needs_moments(stage):
            _check_moments(stage, stages[:place])


def _check_traces(stage: str, source: str) -> None:
    path = Path(source).expanduser()
    if path.is_dir() and not (traces_folder(path) / TRACES).exists():
        raise DataError(
            f"stage '{stage}' reads traces of {source}, which holds none: there is no {TRACES} in "
            "it. Name the folder of a teach or sample stage, or a file of chats with images."
        )
    if not path.exists():
        raise DataError(
            f"stage '{stage}' reads traces of {source}, which is not there. Name an earlier stage, "
            "a folder with traces, or a file of chats with images."
        )


def _check_teacher(stage: TeachStage, data: str) -> None:
    if isinstance(stage.teacher, FileTeacher):
        _check_traces(stage.name, stage.teacher.path)
    source = stage.questions.source or data
    if isinstance(stage.teacher, SolverTeacher) and source != PUZZLES:
        found = load_questions(source)
        if not any(found[i].id.startswith("puzzles-") for i in range(min(len(found), 1))):
            raise DataError(
                f"stage '{stage.name}' is taught by the puzzles' solver, but {source} does not "
                "hold puzzles. Let a checkpoint, an endpoint or a file teach, or set "
                f"{stage.name}.questions.source = '{PUZZLES}' (with a stream and a count)."
            )


def _check_merges(stage: ParamsStage, base: str, names: set[str]) -> None:
    """Checkpoints that are here already are compared before any stage runs."""
    from observe_r1.stages.weight_files import refuse_other_shapes

    for operation in stage.operations:
        if isinstance(operation, Merge):
            wanted = (operation.base, *operation.models)
            known = {n: locate_model(base if n == BASE else n) for n in wanted if n not in names}
            refuse_other_shapes(stage.name, known)


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
