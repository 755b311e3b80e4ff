"""Do two probes of the same samples agree, and how well could they at best?

N rollouts measure a solve rate with noise, so two probes of the same model never rank samples
alike. The ceiling is the rank correlation of two probes that differ by that noise alone: solve
rates drawn from the distribution fitted to the counts, two binomial counts of each. The fit is free
of shape (maximum likelihood on a grid of rates): real models often solve one kind of question and
guess at another, which no Beta distribution describes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 200_000
_GRID_POINTS = 101
_FITTING_ROUNDS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How two probes agree.

    Example:
        Agreement(correlation=0.871, ceiling=0.884, mean_rate=0.44, spread=0.31)
    """

    correlation: float
    """Spearman's rank correlation of the two counts."""
    ceiling: float
    """What it would be if nothing but sampling noise lay between the probes."""
    mean_rate: float
    spread: float
    """Mean and standard deviation of the fitted solve rates."""

    @property
    def share(self) -> float:
        return self.correlation / self.ceiling


def compare_probes(
    first: Sequence[int] | np.ndarray,
    second: Sequence[int] | np.ndarray,
    rollouts: int,
    *,
    seed: int = 0,
) -> Agreement:
    """Counts of correct rollouts of the same samples in two probes → their agreement.

    Example:
        compare_probes([8, 5, 0], [7, 6, 0], rollouts=8)
    """
    first, second = np.asarray(first), np.asarray(second)
    grid, weights = fit_rates(np.concatenate([first, second]), rollouts)
    rng = np.random.default_rng(seed)
    rates = rng.choice(grid, size=_DRAWS, p=weights)
    drawn = rng.binomial(rollouts, rates), rng.binomial(rollouts, rates)
    mean = float(grid @ weights)
    return Agreement(
        correlation=rank_correlation(first, second),
        ceiling=rank_correlation(*drawn),
        mean_rate=mean,
        spread=float(np.sqrt(((grid - mean) ** 2) @ weights)),
    )


def fit_rates(counts: np.ndarray, rollouts: int) -> tuple[np.ndarray, np.ndarray]:
    """Solve rates and their shares that explain the counts best, by expectation maximisation."""
    grid = np.linspace(0.0, 1.0, _GRID_POINTS)
    seen = np.bincount(counts, minlength=rollouts + 1) / len(counts)
    k = np.arange(rollouts + 1)[:, None]
    ways = np.array([math.comb(rollouts, int(c)) for c in range(rollouts + 1)])[:, None]
    likelihood = ways * grid**k * (1.0 - grid) ** (rollouts - k)
    weights = np.full(_GRID_POINTS, 1.0 / _GRID_POINTS)
    for _ in range(_FITTING_ROUNDS):
        expected = likelihood * weights
        expected /= expected.sum(axis=1, keepdims=True)
        weights = seen @ expected
    return grid, weights / weights.sum()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation; equal values share their mean rank."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
