"""Whether the stages of a recipe fit together, seen before anything runs."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from observe_r1.config.dpo import DPOStage
from observe_r1.config.judge import JudgeStage
from observe_r1.config.params import Merge, ParamsStage
from observe_r1.config.rollout import Endpoint
from observe_r1.config.sft import SFTStage
from observe_r1.config.stage_base import BASE, PREVIOUS
from observe_r1.config.stages import RLStage, SampleStage, Stage, TeachStage, TrainingStage
from observe_r1.config.teach import CheckpointTeacher
from observe_r1.config.traces import LAST, PLACEHOLDER, Hint, TraceSource, takes_no_beginning
from observe_r1.text import GRAMMARS, get_grammar


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
        for judge in judges_of(stage):
            _check_judge(stage, judge, earlier, all_stages)
        _check_kind(stage, earlier)


def _check_kind(stage: Stage, earlier: Sequence[Stage]) -> None:
    """What only stages of one kind can have wrong."""
    if isinstance(stage, TeachStage | SampleStage) and stage.hint is not None:
        _check_hint(stage, stage.hint, earlier)
    elif isinstance(stage, DPOStage):
        writers = [s.name for s in earlier if isinstance(s, TeachStage | SampleStage)]
        stage.refuse_equal_sides(writers[-1] if writers else LAST)
    elif isinstance(stage, RLStage) and isinstance(stage.engine, Endpoint):
        raise ValueError(trains_no_endpoint(stage.name))
    elif isinstance(stage, ParamsStage):
        _check_merged(stage, earlier)


def trains_no_endpoint(stage: str) -> str:
    """Why an endpoint draws no completions to train on."""
    return (
        f"{stage}.engine is an endpoint, whose weights cannot be changed. Endpoints serve probing "
        "and evaluation; train with engine.type=shared_prefill or vllm."
    )


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
                yield from (model for model in merged_by(operation) if model != BASE)


def merged_by(operation: Merge) -> tuple[str, ...]:
    """Every model that a merge reads, once."""
    return tuple(dict.fromkeys((operation.base, *operation.models)))


def judges_of(stage: Stage) -> Iterator[str]:
    """Every judge that a ``style`` reward asks, also one inside another reward."""
    if isinstance(stage, RLStage):
        for reward in _of_kind(stage.model_dump(mode="json")["rewards"], "style"):
            yield str(reward["judge"])


def user_code_of(stage: Stage) -> Iterator[str]:
    """Every reward, weight, curriculum and transform of the user's, as ``file.py:name``."""
    for part in _of_kind(stage.model_dump(mode="json"), "user"):
        yield str(part["path"])


def _of_kind(value: Any, kind: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and value.get("type") == kind:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _of_kind(item, kind)


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


def _check_judge(
    stage: Stage, judge: str, earlier: Sequence[Stage], all_stages: Sequence[Stage]
) -> None:
    named = next((s for s in all_stages if s.name == judge), None)
    if named is None and is_path(judge):
        return
    if named is None:
        what = "there is no such stage"
    elif not isinstance(named, JudgeStage):
        what = f"that is a {named.type} stage"
    elif named.skip:
        what = "that stage is left out (skip = true)"
    elif named not in earlier:
        what = "that stage does not come before it"
    else:
        return
    raise ValueError(
        f"stage '{stage.name}' has a style reward that asks the judge '{judge}', and {what}. Put a "
        "judge stage before it, give the path of a judge.json, or take the reward out."
    )


def _check_merged(stage: ParamsStage, earlier: Sequence[Stage]) -> None:
    idle = {s.name for s in earlier if not isinstance(s, TrainingStage | ParamsStage)}
    merges = [operation for operation in stage.operations if isinstance(operation, Merge)]
    for model in (model for merge in merges for model in merged_by(merge)):
        if model in idle:
            raise ValueError(
                f"stage '{stage.name}' merges '{model}', which writes no weights: it hands on "
                "those it was given. Name a stage that trains, or a model."
            )


def _check_hint(stage: TeachStage | SampleStage, hint: Hint, earlier: Sequence[Stage]) -> None:
    writer = stage.teacher if isinstance(stage, TeachStage) else stage
    engine = getattr(writer, "engine", None)
    if hint.place == "response" and (engine is None or isinstance(engine, Endpoint)):
        raise ValueError(takes_no_beginning(stage.name))
    named = PLACEHOLDER.findall(hint.text)
    if hint.place == "system" and named:
        raise ValueError(
            f"{stage.name}.hint speaks of {{{named[0]}}} in the system prompt, which is the same "
            "for all questions. Set hint.place = 'question'."
        )
    told = _told_of(hint.of_traces, earlier) if hint.of_traces else ()
    known = ["answer", *told]
    for name in named:
        if name not in known:
            why = "" if told else " without hint.of_traces"
            raise ValueError(
                f"stage '{stage.name}': the hint speaks of {{{name}}}, and there is no such thing "
                f"to tell{why}. It can name {', '.join(f'{{{word}}}' for word in known)}."
            )


def _told_of(source: TraceSource, earlier: Sequence[Stage]) -> Collection[str]:
    """What a hint can tell of a trace: the sections of its grammar; of any grammar where the
    traces may bring their own, or are rewritten."""
    writers = [s for s in earlier if isinstance(s, TeachStage | SampleStage)]
    writer = next((s for s in reversed(writers) if source.source in (LAST, s.name)), None)
    own = isinstance(writer, TeachStage) and writer.teacher.type in ("file", "gold")
    if writer is None or own or writer.transforms or source.transforms:
        grammars = list(GRAMMARS.values())
    else:
        grammars = [get_grammar(writer.grammar)]
    tags = (tag for grammar in grammars for tag in grammar.tags)
    return dict.fromkeys((*tags, "response", "caption"))


def needs_moments(stage: Stage) -> bool:
    """Whether a stage wants the optimizer of the checkpoint it starts from."""
    if isinstance(stage, TrainingStage):
        return stage.optimizer_state == "keep"
    return isinstance(stage, ParamsStage) and stage.optimizer == "keep"
