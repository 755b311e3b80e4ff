"""Paired differences over seeds: t-intervals, p-values, Holm's correction.

The unit is the seed. Two arms share a seed's puzzles, probe and random numbers, so their difference
is taken within a seed first; what is uncertain is its mean over seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from observe_r1.data.difficulty import beta_cdf


@dataclass(frozen=True, slots=True)
class Effect:
    """A mean paired difference with its interval.

    Example:
        Effect(mean=0.05, low=0.02, high=0.08, p=0.004, seeds=10)
    """

    mean: float
    low: float
    high: float
    p: float
    """Two-sided, of a mean of zero."""
    seeds: int


def paired_effect(differences: Sequence[float], confidence: float = 0.95) -> Effect:
    """Student's interval of the mean of paired differences; at least two seeds are needed.

    Example:
        paired_effect([0.1, 0.2, 0.3]) → mean 0.2, interval [-0.048, 0.448]
    """
    count = len(differences)
    mean = fmean(differences)
    error = stdev(differences) / math.sqrt(count)
    if error == 0.0:
        return Effect(mean, mean, mean, 1.0 if mean == 0.0 else 0.0, count)
    half = t_quantile(confidence, count - 1) * error
    return Effect(mean, mean - half, mean + half, two_sided_p(mean / error, count - 1), count)


def equality_p(effect: Effect, margin: float) -> float:
    """p of two one-sided tests (TOST): small when the mean is surely within ±``margin`` of zero.

    Example:
        equality_p(paired_effect([0.001, -0.001, 0.002, -0.002, 0.0]), 0.02) → 0.00001
    """
    degrees = effect.seeds - 1
    error = (effect.high - effect.low) / 2 / t_quantile(0.95, degrees)
    inside = margin - abs(effect.mean)
    if error == 0.0:
        return 0.0 if inside > 0 else 1.0
    tail = two_sided_p(inside / error, degrees) / 2
    return tail if inside > 0 else 1.0 - tail


def two_sided_p(t: float, degrees: int) -> float:
    """P(|T| > |t|) of Student's distribution, through the incomplete beta function."""
    return beta_cdf(degrees / (degrees + t * t), degrees / 2, 0.5)


def t_quantile(confidence: float, degrees: int) -> float:
    """The t beyond which, on both sides, ``1 - confidence`` of the distribution lies."""
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > 1 - confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if two_sided_p(middle, degrees) > 1 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Example:
        holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
