"""Traces by the puzzles' own solver: exact, in any grammar, careless or reflecting if asked."""

import random
from collections.abc import Sequence

from observe_r1.config.teach import SolverTeacher
from observe_r1.data.puzzles import get_family, make_item
from observe_r1.data.puzzles.base import Item, Trace
from observe_r1.data.puzzles.reflections import recheck, reflect
from observe_r1.data.puzzles.traces import render
from observe_r1.data.puzzles.variation import PLAIN, Variation
from observe_r1.data.traces import TraceRow
from observe_r1.errors import DataError
from observe_r1.grading import grade
from observe_r1.stages.questions import PUZZLE_ID
from observe_r1.types import Sample


def solve(
    sample: Sample, teacher: SolverTeacher, *, grammar: str, number: int, seed: int, stage: str,
    families: Sequence[str] = (),
) -> TraceRow:  # fmt: skip
    """One trace of one puzzle; ``number`` tells several traces of it apart.

    Example:
        solve(sample, SolverTeacher(), grammar="think_answer", number=0, seed=0, stage="teach")
    """
    item = item_of(sample, families)
    rng = random.Random(f"{seed}/{sample.id}/{number}")
    trace = _trace(item, teacher, rng)
    response = render(trace, grammar, teacher.style)
    verdict = grade(
        response, sample.answer, kind=sample.kind, options=sample.options or None, extract="tagged"
    )
    return TraceRow(
        sample_id=sample.id,
        response=response,
        grammar=grammar,
        origin="solver",
        stage=stage,
        correct=verdict.correct,
        caption=trace.observe,
        sketch=trace.sketch,
        difficulty=_difficulty(sample, item),
    )


def _trace(item: Item, teacher: SolverTeacher, rng: random.Random) -> Trace:
    if rng.random() < teacher.careless and len(item.facts) > 1:
        return item.trace(rng.randrange(1, len(item.facts)))
    if teacher.moves == "reflect":
        return reflect(item, rng)
    trace = item.trace()
    return recheck(trace) if teacher.moves == "recheck" else trace


def _difficulty(sample: Sample, item: Item) -> float | None:
    """What a probe found is told by the sample; of the others the level they were made at."""
    if sample.solve_rate is not None:
        return None
    return item.level / max(1, len(item.family.levels) - 1)


def item_of(sample: Sample, families: Sequence[str] = ()) -> Item:
    """The puzzle behind a question, made again from its place in the streams, which its id tells.
    ``families`` are those of a user, as ``file.py:ClassName``."""
    place = PUZZLE_ID.fullmatch(sample.id)
    if place is None:
        raise DataError(
            f"question '{sample.id}' is no puzzle, so no solver knows it. Let a checkpoint or an "
            "endpoint teach, or ask puzzles (questions.source = 'puzzles')."
        )
    own = {get_family(name).name: name for name in families}
    family = get_family(own.get(place["family"], place["family"]))
    item = make_item(
        family, int(place["seed"]), int(place["index"]), int(place["level"]),
        _variation(place["tag"]),
    )  # fmt: skip
    if item.question != sample.question:
        raise DataError(
            f"the puzzle '{sample.id}' asks another question than this version makes, so its "
            "solution would not fit. Build the data anew."
        )
    return item


def _variation(tag: str | None) -> Variation:
    if tag is None:
        return PLAIN
    parts = tag.split("-")
    sentences = [p.removeprefix("context") for p in parts if p.startswith("context")]
    return Variation(
        shortcut="shortcut" in parts, context_sentences=int(sentences[0]) if sentences else 0
    )
