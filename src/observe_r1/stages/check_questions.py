"""Whether every stage finds questions to ask: no picture is drawn or decoded for it."""

from observe_r1.config.questions import PUZZLES, Questions
from observe_r1.config.stages import RLStage, SampleStage, TeachStage
from observe_r1.errors import ConfigError, DataError
from observe_r1.stages.questions import choose_questions


def check_questions(stage: TeachStage | SampleStage | RLStage, data: str) -> None:
    """Refuse a source that is not there, and a choice that nothing fits. The run's own data as it
    is needs no look: it is read before the first stage."""
    wanted = stage.questions
    if wanted.is_everything:
        return
    try:
        if wanted.stream is not None:
            choose_questions(wanted.model_copy(update={"count": 1}), data)
        elif (wanted.source or data) != PUZZLES or not _fits_built_in(wanted):
            choose_questions(wanted, data)  # says what does not fit
    except (ConfigError, DataError) as error:
        raise type(error)(f"stage '{stage.name}': {error}") from None


def _fits_built_in(wanted: Questions) -> bool:
    """Whether one of the built-in puzzles is asked for; they are made up to the first that is, and
    not drawn, which would take longer than all the other checks together."""
    from observe_r1.data.puzzles import MIX, get_family
    from observe_r1.data.puzzles.shipped import shipped_probe
    from observe_r1.data.puzzles.split import stream

    probe = shipped_probe()
    low, high = wanted.solve_rate
    items = stream([get_family(name) for name in MIX], probe["seed"], "train")
    return any(
        (not wanted.families or item.family.name in wanted.families)
        and (not wanted.puzzle_levels or item.level in wanted.puzzle_levels)
        and low <= solve_rate <= high
        for (solve_rate, _), item in zip(probe["items"], items, strict=False)
    )
