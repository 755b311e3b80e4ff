"""Before against after on the same questions: the gain, how sure it is, and what it is made of."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from observe_r1.eval.intervals import Z_95

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of accuracies with its 95 % interval over questions.

    Example:
        Gain(value=0.21, low=0.17, high=0.25, num_questions=200)
    """

    value: float
    low: float
    high: float
    num_questions: int


def paired_gain(before: Iterable[Row], after: Iterable[Row], column: str = "correct") -> Gain:
    """Mean over questions of the change in the share of right answers.

    Example:
        paired_gain([{"sample_id": "q", "correct": False}], [{"sample_id": "q", "correct": True}])
        → Gain(value=1.0, …)
    """
    first, second = _shares(before, column), _shares(after, column)
    changes = [second[name] - first[name] for name in sorted(first.keys() & second.keys())]
    if not changes:
        return Gain(math.nan, math.nan, math.nan, 0)
    mean = fmean(changes)
    half = Z_95 * stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else math.inf
    return Gain(mean, mean - half, mean + half, len(changes))


def _shares(rows: Iterable[Row], column: str) -> dict[str, float]:
    answers: dict[str, list[bool]] = {}
    for row in rows:
        answers.setdefault(row["sample_id"], []).append(bool(row[column]))
    return {name: fmean(marks) for name, marks in answers.items()}


def share_from_thinking(
    format_before: float, right_before: float, format_after: float, right_after: float
) -> float | None:
    """How much of a gain is better answers, not better form; None where there is no gain.

    Strict accuracy is F · A: the share of well-formed answers times the accuracy among them. A
    change splits evenly into ΔA at the mean F and ΔF at the mean A.

    Example:
        share_from_thinking(0.8, 0.5, 1.0, 0.8) == 0.675
    """
    gain = format_after * right_after - format_before * right_before
    if gain <= 0:
        return None
    return (right_after - right_before) * (format_before + format_after) / 2 / gain
