"""Do two probes of the same samples agree, and how well could they at best?

N rollouts measure a solve rate with noise, so two probes of the same model never rank samples
alike. The ceiling is the rank correlation of two probes that differ by that noise alone: solve
rates drawn from the Beta distribution fitted to the counts, two binomial counts of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How two probes agree.

    Example:
        Agreement(correlation=0.871, ceiling=0.884, alpha=0.7, beta=0.9)
    """

    correlation: float
    """Spearman's rank correlation of the two counts."""
    ceiling: float
    """What it would be if nothing but sampling noise lay between the probes."""
    alpha: float
    beta: float
    """The fitted Beta distribution of the solve rates."""

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
    alpha, beta = fit_beta(np.concatenate([first, second]), rollouts)
    rng = np.random.default_rng(seed)
    rates = rng.beta(alpha, beta, _DRAWS)
    drawn = rng.binomial(rollouts, rates), rng.binomial(rollouts, rates)
    return Agreement(
        correlation=rank_correlation(first, second),
        ceiling=rank_correlation(*drawn),
        alpha=alpha,
        beta=beta,
    )


def fit_beta(counts: np.ndarray, rollouts: int) -> tuple[float, float]:
    """The Beta distribution whose binomial counts have the mean and variance of ``counts``."""
    mean = float(np.clip(counts.mean() / rollouts, 1e-3, 1 - 1e-3))
    spread = float(counts.var() / (rollouts**2 * mean * (1 - mean)))
    # A binomial count has spread 1/N; what lies above it is the spread of the rates themselves.
    between = np.clip((spread - 1 / rollouts) / (1 - 1 / rollouts), 1e-3, 1 - 1e-3)
    strength = float(1 / between - 1)
    return mean * strength, (1 - mean) * strength


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
