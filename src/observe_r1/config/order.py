"""Whether the stages of a recipe fit together, seen before anything runs."""

from collections.abc import Iterator, Sequence

from observe_r1.config.dpo import DPOStage
from observe_r1.config.judge import JudgeStage
from observe_r1.config.params import Merge, ParamsStage
from observe_r1.config.sft import SFTStage
from observe_r1.config.stage_base import BASE, PREVIOUS
from observe_r1.config.stages import SampleStage, Stage, TeachStage, TrainingStage
from observe_r1.config.teach import CheckpointTeacher
from observe_r1.config.traces import LAST, TraceSource


def active(stages: Sequence[Stage]) -> list[Stage]:
    """The stages that are not left out."""
    return [stage for stage in stages if not stage.skip]


def check_order(all_stages: Sequence[Stage]) -> None:
    """Raise ValueError for a stage whose input comes later, never, or is of another kind."""
    stages = active(all_stages)
    if not stages:
        raise ValueError("every stage is left out (skip = true). Leave one in.")
    names = [stage.name for stage in stages]
    for place, stage in enumerate(stages):
        earlier = stages[:place]
        for source in sources_of(stage):
            _check_source(stage, source, earlier, names)
        for model in models_of(stage):
            _check_model(stage, model, earlier, names)


def sources_of(stage: Stage) -> Iterator[TraceSource]:
    """Every source of traces that a stage reads."""
    if isinstance(stage, SFTStage):
        yield from (*stage.traces, *stage.validation)
    elif isinstance(stage, DPOStage):
        yield from (stage.chosen, stage.rejected)
    elif isinstance(stage, JudgeStage):
        yield from (stage.style, stage.other)
    elif isinstance(stage, TeachStage | SampleStage) and stage.hint and stage.hint.of_traces:
        yield stage.hint.of_traces


def models_of(stage: Stage) -> Iterator[str]:
    """Every model that a stage reads: names of stages, folders, names on the hub."""
    if stage.start_from not in (PREVIOUS, BASE):
        yield stage.start_from
    if isinstance(stage, TeachStage) and isinstance(stage.teacher, CheckpointTeacher):
        yield stage.teacher.model
    if isinstance(stage, ParamsStage):
        for operation in stage.operations:
            if isinstance(operation, Merge):
                yield from (m for m in (operation.base, *operation.models) if m != BASE)


def is_path(name: str) -> bool:
    """Whether a source can only be a place on disk: stages have plain names."""
    return any(mark in name for mark in "/\\.~")


def _check_source(
    stage: Stage, source: TraceSource, earlier: Sequence[Stage], names: Sequence[str]
) -> None:
    writers = [s.name for s in earlier if isinstance(s, TeachStage | SampleStage)]
    known = f"Stages before it that write traces: {', '.join(writers) or 'none'}."
    if source.source == LAST:
        if not writers:
            raise ValueError(
                f"stage '{stage.name}' reads traces, but no stage before it writes any. Put a "
                "teach or sample stage before it, or name a folder or file as the source."
            )
    elif source.source in names:
        if source.source not in writers:
            comes = source.source in {s.name for s in earlier}
            what = "writes none" if comes else "does not come before it"
            raise ValueError(
                f"stage '{stage.name}' reads traces of '{source.source}', which {what}. {known}"
            )
    elif not is_path(source.source):
        raise ValueError(
            f"stage '{stage.name}' reads traces of '{source.source}', and there is no such stage. "
            f"{known} A folder or file is written with its path, as ./traces or chats.json."
        )


def _check_model(stage: Stage, model: str, earlier: Sequence[Stage], names: Sequence[str]) -> None:
    if model in names and model not in {s.name for s in earlier}:
        raise ValueError(
            f"stage '{stage.name}' starts from or reads the weights of '{model}', which does not "
            "come before it."
        )


def needs_moments(stage: Stage) -> bool:
    """Whether a stage wants the optimizer of the checkpoint it starts from."""
    if isinstance(stage, TrainingStage):
        return stage.optimizer_state == "keep"
    return isinstance(stage, ParamsStage) and stage.optimizer == "keep"
