"""What several answers to one question are worth together: pass@k and majority@k."""

from collections import Counter
from collections.abc import Sequence
from math import comb


def pass_at_k(right: int, total: int, k: int) -> float:
    """Chance that at least one of ``k`` answers drawn from ``total`` is right, unbiased.

    ``1 - C(total - right, k) / C(total, k)``

    Example:
        pass_at_k(right=1, total=4, k=2) == 0.5
    """
    if not 1 <= k <= total:
        raise ValueError(f"k is {k}, but there are {total} answers to draw from.")
    return 1.0 - comb(total - right, k) / comb(total, k)


def majority_is_right(answers: Sequence[str | None], correct: Sequence[bool]) -> float:
    """Whether the answer given most often is right; equal counts share the vote equally.

    Answers are compared after trimming and lower-casing; all right answers count as one answer
    however they are written. Completions without an answer do not vote.

    Example:
        majority_is_right(["3", "3", "4"], [True, True, False]) == 1.0
    """
    votes: Counter[tuple[bool, str]] = Counter()
    for answer, is_right in zip(answers, correct, strict=True):
        if is_right:
            votes[(True, "")] += 1
        elif answer is not None:
            votes[(False, " ".join(answer.lower().split()))] += 1
    if not votes:
        return 0.0
    most = max(votes.values())
    winners = [is_right for (is_right, _), count in votes.items() if count == most]
    return sum(winners) / len(winners)


def powers_of_two(limit: int) -> list[int]:
    """1, 2, 4 … up to ``limit``, and ``limit`` itself."""
    powers = [2**n for n in range(limit.bit_length()) if 2**n <= limit]
    return powers if powers[-1] == limit else [*powers, limit]
