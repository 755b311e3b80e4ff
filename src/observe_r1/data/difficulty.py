"""How hard a sample is for the probed model, and how sure we are of it.

With k of N rollouts correct, the solve rate is p = k/N and its uncertainty the Jeffreys interval:
quantiles of Beta(k + 1/2, N - k + 1/2). The level is the posterior mean of d = 1 - p in eighths:

    level = round(8 · (N - k + 1/2) / (N + 1))

For N = 8 that is exactly the number of wrong rollouts, 0 (always solved) to 8 (never). A smaller N
never reaches the ends: four correct rollouts of four do not show that a sample is always solved.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

NUM_LEVELS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedCompletion:
    """What the probe keeps of one rollout.

    Example:
        ProbedCompletion(text="<think>two and one</think><answer>3</answer>", answer="3",
                         correct=True, num_tokens=17, truncated=False)
    """

    text: str
    answer: str | None
    correct: bool
    num_tokens: int
    truncated: bool
    perplexity: float | None = None
    """Under the distribution it was drawn from; None where that is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """What the probe says of one sample.

    Example:
        Difficulty(sample_id="puzzles-counting-7", num_rollouts=8, num_correct=5, solve_rate=0.625,
                   low=0.30, high=0.88, level=3, complexity=41.5, correct_complexity=38.2,
                   answer_entropy=0.95, truncated_share=0.0)
    """

    sample_id: str
    num_rollouts: int
    num_correct: int
    solve_rate: float
    low: float
    high: float
    level: int
    complexity: float
    """Mean length of all rollouts, in tokens."""
    correct_complexity: float | None
    """Mean length of the correct ones; None where none is."""
    answer_entropy: float | None
    """Entropy of the answers given, in bits: 0 when all agree, log2(N) when none do.
    None where the answers were not kept."""
    truncated_share: float | None


def measure_difficulty(
    sample_id: str, completions: Sequence[ProbedCompletion], *, confidence: float = 0.95
) -> Difficulty:
    """Sum up the probe rollouts of one sample; there must be at least one."""
    num_rollouts = len(completions)
    correct = [completion for completion in completions if completion.correct]
    low, high = solve_rate_interval(len(correct), num_rollouts, confidence)
    return Difficulty(
        sample_id=sample_id,
        num_rollouts=num_rollouts,
        num_correct=len(correct),
        solve_rate=len(correct) / num_rollouts,
        low=low,
        high=high,
        level=level_of(len(correct), num_rollouts),
        complexity=_mean_length(completions),
        correct_complexity=_mean_length(correct) if correct else None,
        answer_entropy=answer_entropy(completions),
        truncated_share=sum(completion.truncated for completion in completions) / num_rollouts,
    )


def _mean_length(completions: Sequence[ProbedCompletion]) -> float:
    return sum(completion.num_tokens for completion in completions) / len(completions)


def level_of(num_correct: float, num_rollouts: float) -> int:
    """Difficulty level, 0 (easiest) to 8; counts may be fractional where evidence was decayed."""
    wrong = (num_rollouts - num_correct + 0.5) / (num_rollouts + 1.0)
    return math.floor((NUM_LEVELS - 1) * wrong + 0.5)


def answer_entropy(completions: Sequence[ProbedCompletion]) -> float:
    """Bits of disagreement. All correct answers are one answer, however they are written."""
    counts = Counter(_answer_class(completion) for completion in completions)
    shares = [count / len(completions) for count in counts.values()]
    return max(0.0, -sum(share * math.log2(share) for share in shares))


def _answer_class(completion: ProbedCompletion) -> str | bool | None:
    if completion.correct:
        return True
    return None if completion.answer is None else " ".join(completion.answer.lower().split())


@lru_cache(maxsize=4096)
def solve_rate_interval(
    num_correct: int, num_rollouts: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Jeffreys interval of the solve rate; reaches 0 or 1 when nothing or all was correct."""
    tail = (1.0 - confidence) / 2.0
    a, b = num_correct + 0.5, num_rollouts - num_correct + 0.5
    low = 0.0 if num_correct == 0 else _beta_quantile(tail, a, b)
    high = 1.0 if num_correct == num_rollouts else _beta_quantile(1.0 - tail, a, b)
    return low, high


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(52):
        middle = (low + high) / 2.0
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast on this side of the mean only
        return 1.0 - beta_cdf(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, 200):
        half = step // 2
        if step % 2:
            top = -(a + half) * (a + b + half)
        else:
            top = half * (b - half)
        term = top * x / ((a + step - 1) * (a + step))
        denominator = 1.0 / ((1.0 + term * denominator) or tiny)
        numerator = (1.0 + term / numerator) or tiny
        change = numerator * denominator
        value *= change
        if abs(change - 1.0) < 1e-12:
            break
    return value
