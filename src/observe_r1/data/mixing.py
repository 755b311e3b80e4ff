"""How much of each level goes into each rung.

A rung draws on a window of five levels: its own and four neighbours, two on either side, shifted
inward at the two ends (rung 0 draws on levels 0-4). Row = rung, column = level, rows sum to one.
"""

from typing import Literal

import numpy as np

from observe_r1.data.difficulty import NUM_LEVELS

WINDOW = 5

Mixing = Literal["paper", "proportional", "none"]
"""``paper``: the shares of Observe-R1. ``proportional``: each level of the window by its size.
``none``: a rung is its level."""

# Read off the paper's figure, within about 0.01.
_PAPER_SHARES = (
    (0.290, 0.175, 0.190, 0.190, 0.165),
    (0.050, 0.495, 0.145, 0.155, 0.147),
    (0.020, 0.075, 0.505, 0.165, 0.225),
    (0.030, 0.067, 0.500, 0.207, 0.190),
    (0.027, 0.067, 0.580, 0.183, 0.133),
    (0.030, 0.100, 0.573, 0.147, 0.147),
    (0.050, 0.113, 0.537, 0.175, 0.120),
    (0.020, 0.055, 0.098, 0.683, 0.142),
    (0.013, 0.042, 0.072, 0.148, 0.715),
)
_FITTING_ROUNDS = 300


def window_start(rung: int) -> int:
    """First level of a rung's window."""
    return min(max(rung - WINDOW // 2, 0), NUM_LEVELS - WINDOW)


def mixing_matrix(mixing: Mixing, available: np.ndarray) -> np.ndarray:
    """[rung, level] shares wanted, over the levels that have any of the ``available`` samples."""
    shares = np.zeros((NUM_LEVELS, NUM_LEVELS))
    for rung in range(NUM_LEVELS):
        start = window_start(rung)
        window = slice(start, start + WINDOW)
        if mixing == "paper":
            shares[rung, window] = _PAPER_SHARES[rung]
        elif mixing == "proportional":
            shares[rung, window] = available[window]
        else:
            shares[rung, rung] = 1.0
    shares *= (available > 0)[None, :]
    sums = shares.sum(axis=1, keepdims=True)
    return np.divide(shares, sums, out=np.zeros_like(shares), where=sums > 0)


def allot(available: np.ndarray, mixing: Mixing, size: int) -> np.ndarray:
    """[rung, level] whole numbers of samples, ``size`` in all, no sample twice.

    Rungs are as large as their levels are, in proportion. Where a level is asked for more than it
    has, its shares shrink and the other levels of the window make up for it (iterative proportional
    fitting), so that the full size uses every sample exactly once.
    """
    total = int(available.sum())
    if size == 0 or total == 0:
        return np.zeros((NUM_LEVELS, NUM_LEVELS), dtype=np.int64)
    rung_sizes = available * (size / total)
    wanted = rung_sizes[:, None] * mixing_matrix(mixing, available)
    for _ in range(_FITTING_ROUNDS):
        wanted *= _ratio(rung_sizes, wanted.sum(axis=1))[:, None]
        wanted *= np.minimum(1.0, _ratio(available, wanted.sum(axis=0)))[None, :]
    from_level = round_to_total(wanted.sum(axis=0), size, available)
    columns = [round_to_total(wanted[:, j], int(from_level[j])) for j in range(NUM_LEVELS)]
    return np.stack(columns, axis=1)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.ones_like(bottom), where=bottom > 0)


def round_to_total(amounts: np.ndarray, total: int, limits: np.ndarray | None = None) -> np.ndarray:
    """Whole numbers near ``amounts``, scaled to sum to ``total``, none above its limit."""
    if total == 0:
        return np.zeros(len(amounts), dtype=np.int64)
    scaled = amounts * (total / amounts.sum())
    caps = np.full(len(amounts), total) if limits is None else limits.astype(np.int64)
    whole = np.minimum(np.floor(scaled).astype(np.int64), caps)
    while (missing := total - int(whole.sum())) > 0:
        room = np.flatnonzero(whole < caps)
        largest = room[np.argsort(-(scaled - whole)[room], kind="stable")]
        whole[largest[:missing]] += 1
    return whole
