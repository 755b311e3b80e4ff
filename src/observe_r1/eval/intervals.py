"""How sure a share is: Wilson's interval, also when several answers belong to one question.

Answers to one question resemble each other, so eight answers to a hundred questions are worth less
than eight hundred questions. The share of all answers is kept as it is; its interval is Wilson's on
the *effective* number of answers,

    n_eff = p (1 - p) / var(p),   var(p) = Σ_q (s_q - n_q p)² / (Σ n_q)² · Q / (Q - 1)

with s_q right of n_q answers to question q: the usual variance of a ratio over clusters. One answer
a question gives n_eff ≈ Q, plain Wilson.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval and the counts behind it.

    Example:
        Share(value=0.5, low=0.24, high=0.76, num_questions=10, num_answers=10)
    """

    value: float | None
    """None when there was nothing to count."""
    low: float | None
    high: float | None
    num_questions: int
    num_answers: int


def wilson(share: float, count: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share of ``count`` independent answers.

    Example:
        wilson(0.5, 10) == (0.2366, 0.7634)     # rounded
    """
    scale = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low = (
        0.0 if share == 0.0 else max(0.0, middle - half)
    )  # exact where the formula is, rounding aside
    return low, 1.0 if share == 1.0 else min(1.0, middle + half)


def share_of(right_and_total: Sequence[tuple[int, int]]) -> Share:
    """The share of right answers over questions, each with its number right and its number.

    Example:
        share_of([(1, 2), (2, 2)]).value == 0.75
    """
    counted = [(right, total) for right, total in right_and_total if total > 0]
    answers = sum(total for _, total in counted)
    if answers == 0:
        return Share(value=None, low=None, high=None, num_questions=0, num_answers=0)
    value = sum(right for right, _ in counted) / answers
    low, high = wilson(value, effective_answers(counted, value, answers))
    return Share(value=value, low=low, high=high, num_questions=len(counted), num_answers=answers)


def effective_answers(counted: Sequence[tuple[int, int]], share: float, answers: int) -> float:
    """How many independent answers the given ones are worth: between 1 and their number."""
    questions = len(counted)
    if questions == 1:
        return 1.0  # answers to one question say nothing of the next
    spread = sum((right - total * share) ** 2 for right, total in counted)
    if share in (0.0, 1.0):
        return float(questions)  # all alike: count questions, the cautious choice
    if spread == 0.0:
        return float(answers)
    variance = spread / answers**2 * questions / (questions - 1)
    return min(float(answers), max(1.0, share * (1 - share) / variance))
