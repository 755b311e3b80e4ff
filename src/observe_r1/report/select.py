"""Which groups a page holds when it cannot hold all of them."""

from dataclasses import dataclass

import numpy as np

from observe_r1.report.index import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """How much goes into one page; the defaults keep it well under 15 MB."""

    groups: int = 5000
    group_bytes: int = 14_000_000
    """Of rollouts before compression; texts shrink to about a fifth."""
    text: int = 8000
    """Characters of one completion."""
    picture_side: int = 320
    picture_bytes: int = 3_500_000
    followed: int = 24
    """Questions of which every group is kept, so that they can be followed across steps."""


def choose_groups(index: Index, limits: PageLimits) -> np.ndarray:
    """Places in the index: every group of a few questions, the rest spread evenly."""
    total = index.num_groups
    sizes = np.minimum(
        index.groups["length"].astype(np.int64), index.groups["size"] * (limits.text + 600)
    )
    if total <= limits.groups and sizes.sum() <= limits.group_bytes:
        return np.arange(total)
    room = min(limits.groups, int(limits.group_bytes / max(sizes.mean(), 1)))
    followed = _followed(index, limits.followed, room // 3)
    others = np.setdiff1d(np.arange(total), followed)
    count = min(max(room - len(followed), 1), len(others))
    spread = (
        others[np.unique(np.linspace(0, len(others) - 1, count).astype(int))] if count else others
    )
    chosen = np.concatenate([followed, spread])
    fits = np.cumsum(sizes[chosen]) <= limits.group_bytes
    return np.sort(chosen[fits])


def _followed(index: Index, questions: int, room: int) -> np.ndarray:
    """All groups of the questions asked most often, as far as there is room."""
    samples = index.groups["sample"]
    counts = np.bincount(samples)
    often = np.argsort(-counts, kind="stable")[:questions]
    often = often[(counts[often] > 1) & (np.cumsum(counts[often]) <= room)]
    return np.flatnonzero(np.isin(samples, often))
