"""Advantages: what each completion's reward says against the others of its group.

Every function returns one list of numbers a group, before the group weight. Rewards that are equal
give exactly zero, whatever rounding left of their difference.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.types import Score, ScoredGroup
from observe_r1.weighting.min_norm import min_norm_weights

EQUAL = 1e-9
"""Rewards closer than this, relative to their size, are equal."""

Advantages = list[list[float]]
"""[P][G]"""


def counted_reward(score: Score) -> float:
    """The reward that is normalised: a bonus given after normalisation is not in it yet."""
    return score.reward - score.bonus if score.bonus_after else score.reward


def centred(values_G: Sequence[float]) -> list[float]:
    """Minus the mean; exactly zero where all are equal."""
    if not has_spread(values_G):
        return [0.0] * len(values_G)
    mean = math.fsum(values_G) / len(values_G)
    return [value - mean for value in values_G]


def has_spread(values: Sequence[float]) -> bool:
    return max(values) - min(values) > EQUAL * max(1.0, max(abs(value) for value in values))


def deviation(centred_values: Sequence[float], unbiased: bool) -> float:
    """Standard deviation of values whose mean is zero."""
    num = len(centred_values) - 1 if unbiased else len(centred_values)
    return math.sqrt(math.fsum(v * v for v in centred_values) / num) if num > 0 else 0.0


class GroupMeanStd(Config):
    """GRPO: ``(r − mean) / (std + ε)`` within the group."""

    type: Literal["group_mean_std"] = "group_mean_std"

    epsilon: float = Field(default=1e-9, gt=0)
    """Keeps the division finite."""
    unbiased: bool = True
    """Divide by G − 1 in the variance, as most trainers do."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        return [self._normalise(rewards_of(group)) for group in groups_P]

    def _normalise(self, rewards_G: Sequence[float]) -> list[float]:
        values_G = centred(rewards_G)
        scale = deviation(values_G, self.unbiased) + self.epsilon
        return [value / scale for value in values_G]


class MeanOnly(Config):
    """``r − mean`` within the group (Dr. GRPO): no division, so easy and hard groups keep scale."""

    type: Literal["mean_only"] = "mean_only"

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        return [centred(rewards_of(group)) for group in groups_P]


class LeaveOneOut(Config):
    """``r − mean of the others`` (RLOO): an unbiased baseline, G/(G − 1) times ``mean_only``."""

    type: Literal["leave_one_out"] = "leave_one_out"

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        return [self._against_others(rewards_of(group)) for group in groups_P]

    def _against_others(self, rewards_G: Sequence[float]) -> list[float]:
        num = len(rewards_G)
        if num < 2:
            return [0.0] * num
        return [value * num / (num - 1) for value in centred(rewards_G)]


class BatchNormalised(Config):
    """``(r − group mean) / (std over the batch + ε)``: one scale for all groups (REINFORCE++)."""

    type: Literal["batch_normalised"] = "batch_normalised"

    epsilon: float = Field(default=1e-9, gt=0)
    """Keeps the division finite."""
    unbiased: bool = True
    """Divide by N − 1 in the variance over the batch."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        values_P = [centred(rewards_of(group)) for group in groups_P]
        together = [value for values_G in values_P for value in values_G]
        scale = deviation(together, self.unbiased) + self.epsilon if together else 1.0
        return [[value / scale for value in values_G] for values_G in values_P]


class MeanRatio(Config):
    """``(r − mean) / mean``: a rare success in a hard group counts for more.

    The denominator is at least ``floor``, so that a group whose rewards sum to about zero cannot
    explode.
    """

    type: Literal["mean_ratio"] = "mean_ratio"

    floor: float = Field(default=0.01, gt=0)
    """Least size of the mean that is divided by."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        return [self._ratio(rewards_of(group)) for group in groups_P]

    def _ratio(self, rewards_G: Sequence[float]) -> list[float]:
        mean = math.fsum(rewards_G) / len(rewards_G)
        return [value / max(abs(mean), self.floor) for value in centred(rewards_G)]


class NormaliseThenSum(Config):
    """Each reward is standardised within the group by itself, then they are summed (GDPO).

    A reward of small scale is not drowned by one of large scale: only ``weights`` decides.
    """

    type: Literal["normalise_then_sum"] = "normalise_then_sum"

    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of an objective by its reward's name; 1 where unset."""
    epsilon: float = Field(default=1e-9, gt=0)
    """Keeps the division finite."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        return [self._sum(group) for group in groups_P]

    def _sum(self, group: ScoredGroup) -> list[float]:
        objectives = standardised_objectives(group, self.epsilon)
        totals_G = [0.0] * len(group.scores_G)
        for name, values_G in objectives.items():
            weight = self.weights.get(name, 1.0)
            totals_G = [t + weight * v for t, v in zip(totals_G, values_G, strict=True)]
        return totals_G


class MinNorm(Config):
    """Standardised rewards summed with the weights of least norm (Frank-Wolfe; Factum's P-FAB).

    An objective without variance would draw all weight to its zero vector, so it is dropped first;
    the sum is scaled back to the size of a standardised reward, because balancing shrinks it.
    """

    type: Literal["min_norm"] = "min_norm"

    restore_magnitude: bool = True
    """Scale the sum back to a standard deviation of 1."""
    epsilon: float = Field(default=1e-9, gt=0)
    """Keeps the divisions finite."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> Advantages:
        return [self._balance(group) for group in groups_P]

    def _balance(self, group: ScoredGroup) -> list[float]:
        vectors = list(standardised_objectives(group, self.epsilon).values())
        if not vectors:
            return [0.0] * len(group.scores_G)
        gram = [[_inner(a, b) for b in vectors] for a in vectors]
        weights = min_norm_weights(gram)
        columns = zip(*vectors, strict=True)
        values_G = [math.fsum(w * v for w, v in zip(weights, c, strict=True)) for c in columns]
        size = deviation(values_G, unbiased=True)
        if size < 1e-6:  # objectives that cancel each other out: no direction helps both
            return [0.0] * len(values_G)
        return [value / size for value in values_G] if self.restore_magnitude else values_G


Advantage = Annotated[
    GroupMeanStd
    | MeanOnly
    | LeaveOneOut
    | BatchNormalised
    | MeanRatio
    | NormaliseThenSum
    | MinNorm,
    Field(discriminator="type"),
]


def rewards_of(group: ScoredGroup) -> list[float]:
    """[G] what is compared within the group."""
    return [counted_reward(score) for score in group.scores_G]


def standardised_objectives(group: ScoredGroup, epsilon: float) -> dict[str, list[float]]:
    """Each reward with variance as z-scores over the group; a bonus before normalisation is one."""
    names = list(group.scores_G[0].rewards)
    columns = {name: [score.rewards[name] for score in group.scores_G] for name in names}
    columns["bonus"] = [0.0 if score.bonus_after else score.bonus for score in group.scores_G]
    found = {}
    for name, values_G in columns.items():
        if has_spread(values_G):
            around_zero = centred(values_G)
            scale = deviation(around_zero, unbiased=True) + epsilon
            found[name] = [value / scale for value in around_zero]
    return found


def _inner(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
