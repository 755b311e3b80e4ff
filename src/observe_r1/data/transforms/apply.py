"""Transforms over a set of traces, one after the other; what they leave out is counted.

traces ──[truncate_and_cue, difficulty_prefix]──▶ Transformed(traces, left_out)
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.data.transforms.base import Lesson, TransformConfig


@dataclass(frozen=True, slots=True)
class Transformed:
    """The traces as they are taught, and how many each transform left out.

    Example:
        Transformed(traces, left_out={"reflection": 12})
    """

    traces: TraceSet
    left_out: Mapping[str, int]


def transform_traces(
    traces: TraceSet, transforms: Sequence[TransformConfig], seed: int = 0
) -> Transformed:
    """Every trace through every transform, in order.

    Wrong answers to the same question stand by as wrong paths for the transforms that want one.
    """
    if not transforms:
        return Transformed(traces, {})
    wrong = _wrong_responses(traces)
    left_out: Counter[str] = Counter()
    rows = []
    for place, row in enumerate(traces.rows):
        lesson = _lesson(traces, row, place, wrong.get(row.sample_id, ()))
        told = _transform(lesson, transforms, seed)
        if isinstance(told, str):
            left_out[told] += 1
        else:
            rows.append(_row(row, *told))
    return Transformed(traces.with_rows(rows), dict(left_out))


def _transform(
    lesson: Lesson, transforms: Sequence[TransformConfig], seed: int
) -> tuple[Lesson, list[str]] | str:
    """The lesson and the names of those that changed it, or the name of who left it out."""
    changed = []
    for transform in transforms:
        told = transform(lesson, seed)
        if told is None:
            return transform.kind
        changed += [transform.kind] if told.text != lesson.text else []
        lesson = told
    return lesson, changed


def _wrong_responses(traces: TraceSet) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in traces.rows:
        if row.correct is False:
            found[row.sample_id].append(row.response)
    return {sample_id: tuple(texts) for sample_id, texts in found.items()}


def _lesson(traces: TraceSet, row: TraceRow, place: int, wrong: tuple[str, ...]) -> Lesson:
    sample = traces.sample(row)
    return Lesson(
        id=f"{row.sample_id}/{place}",
        text=row.response,
        grammar=row.grammar,
        answer=sample.answer,
        kind=sample.kind,
        options=sample.options,
        difficulty=_difficulty(traces, row),
        caption=row.caption,
        sketch=row.sketch,
        correct=row.correct,
        wrong=wrong,
        metadata=sample.metadata,
    )


def _difficulty(traces: TraceSet, row: TraceRow) -> float | None:
    """What its writer said; else the share of answers that were wrong, here or in the probe."""
    if row.difficulty is not None:
        return row.difficulty
    solved = row.solve_rate if row.solve_rate is not None else traces.sample(row).solve_rate
    return None if solved is None else 1.0 - solved


def _row(row: TraceRow, lesson: Lesson, changed: Sequence[str]) -> TraceRow:
    if not changed:
        return row
    return replace(
        row,
        response=lesson.text,
        grammar=lesson.grammar,
        num_tokens=None,  # counted before it was rewritten
        perplexity=None,
        truncated=row.truncated and not lesson.is_well_formed,  # mended ones have an end
        transforms=(*row.transforms, *changed),
    )
