"""Overlap with a gold box, time interval or point: a reward between right and wrong."""

from typing import Literal

from pydantic import Field

from observe_r1.grading.shapes import (
    box_overlap,
    hits,
    read_box,
    read_point,
    read_span,
    read_target,
    span_overlap,
)
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig

Elsewhere = Literal["zero", "correct"]


class _Overlap(RewardConfig):
    """An overlap is asked for on samples of one kind; the others of a mixed batch fall back."""

    elsewhere: Elsewhere = "zero"
    """Value on samples of another kind: 0, or 1 where the answer is correct."""

    def _elsewhere(self, attempt: Attempt) -> float:
        return float(self.elsewhere == "correct" and attempt.correct)


class BoxOverlap(_Overlap):
    """Intersection over union of the answer's box and the gold's, on samples of kind "box"."""

    type: Literal["box_overlap"] = "box_overlap"

    def __call__(self, attempt: Attempt) -> float:
        if attempt.sample.kind != "box":
            return self._elsewhere(attempt)
        wanted, said = read_box(attempt.sample.answer), read_box(attempt.grade.answer or "")
        return box_overlap(wanted, said) if wanted and said else 0.0


class IntervalOverlap(_Overlap):
    """Intersection over union of two time intervals, on samples of kind "interval"."""

    type: Literal["interval_overlap"] = "interval_overlap"

    def __call__(self, attempt: Attempt) -> float:
        if attempt.sample.kind != "interval":
            return self._elsewhere(attempt)
        wanted, said = read_span(attempt.sample.answer), read_span(attempt.grade.answer or "")
        return span_overlap(wanted, said) if wanted and said else 0.0


class PointWithin(_Overlap):
    """1 where the answer's point lies within a distance of the gold's, on samples of kind "point".

    A gold region or a gold with its own tolerance decides for itself.
    """

    type: Literal["point_within"] = "point_within"

    tolerance: float = Field(default=0.14, ge=0, allow_inf_nan=False)
    """Greatest distance, in the coordinates of the gold; 0.14 is TON's, for normalised ones."""

    def __call__(self, attempt: Attempt) -> float:
        if attempt.sample.kind != "point":
            return self._elsewhere(attempt)
        target, point = read_target(attempt.sample.answer), read_point(attempt.grade.answer or "")
        if target is None or point is None:
            return 0.0
        if target.region is not None or target.tolerance > 0:
            return float(hits(target, point))
        distance = ((point[0] - target.x) ** 2 + (point[1] - target.y) ** 2) ** 0.5
        return float(distance <= self.tolerance + 1e-9)
