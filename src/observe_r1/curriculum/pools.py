"""Draw by the running solve rate: samples move between pools as the policy learns."""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.curriculum.base import Curriculum
from observe_r1.types import Sample


class Pools(Config):
    """Pools of samples by running solve rate, each drawn from with its own share. Never ends."""

    type: Literal["pools"] = "pools"

    edges: tuple[float, ...] = (0.125, 0.875)
    """Solve rates that part the pools, ascending: hard below the first, easy above the last.
    A sample on an edge is in the middle; one never tried counts as 0.5."""

    shares: tuple[float, ...] = (0.2, 0.7, 0.1)
    """Share of each batch per pool, hardest first; an empty pool's share goes to the others."""

    decay: float = Field(default=0.5, ge=0, le=1)
    """How much of the older evidence on a sample is kept at each new group."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(
                f"{len(self.edges)} edges make {len(self.edges) + 1} pools, but there are "
                f"{len(self.shares)} shares. Give one share a pool, hardest first."
            )
        if any(low >= high for low, high in pairwise((0.0, *self.edges, 1.0))):
            raise ValueError(f"edges {self.edges} must ascend between 0 and 1.")
        if min(self.shares) < 0 or sum(self.shares) <= 0:
            raise ValueError(f"shares {self.shares} must not be negative, one positive.")
        return self

    def start(self, samples: Sequence[Sample], seed: int) -> "PoolsCurriculum":
        return PoolsCurriculum(self, samples, seed)


class PoolsCurriculum(Curriculum):
    def __init__(self, config: Pools, samples: Sequence[Sample], seed: int) -> None:
        super().__init__(samples, seed, decay=config.decay)
        self.config = config
        self.last_drawn = np.full(len(samples), -1, dtype=np.int64)

    def pool_members(self) -> list[np.ndarray]:
        """Indices of each pool, hardest first."""
        rates = self.rates.rates()
        pool = np.zeros(len(rates), dtype=np.int64)
        for edge in self.config.edges:
            pool += (rates > edge) if edge > 0.5 else (rates >= edge)
        return [np.flatnonzero(pool == number) for number in range(len(self.config.shares))]

    def choose(self, n: int, rng: random.Random) -> list[int]:
        members = self.pool_members()
        chosen: list[int] = []
        for pool, count in enumerate(self._quotas(n, [len(pool) for pool in members])):
            chosen += self._least_recent(members[pool], count, rng)
        self.last_drawn[chosen] = self.batches
        rng.shuffle(chosen)
        return chosen

    def _quotas(self, n: int, sizes: list[int]) -> list[int]:
        """Whole numbers a pool that sum to n, as far as there are samples."""
        shares = [
            share if size else 0.0 for share, size in zip(self.config.shares, sizes, strict=True)
        ]
        if not sum(shares):  # only pools of share zero hold samples
            shares = [float(size > 0) for size in sizes]
        quotas = [0] * len(sizes)
        for _ in range(min(n, sum(sizes))):
            open_pools = [p for p in range(len(sizes)) if quotas[p] < sizes[p]]
            wanted = [p for p in open_pools if shares[p]] or open_pools
            quotas[max(wanted, key=lambda p: (shares[p] or 1.0) / (quotas[p] + 0.5))] += 1
        return quotas

    def _least_recent(self, members: np.ndarray, count: int, rng: random.Random) -> list[int]:
        shuffled = members.tolist()
        rng.shuffle(shuffled)
        shuffled.sort(key=lambda index: self.last_drawn[index])
        return shuffled[:count]

    def own_state(self) -> dict[str, Any]:
        drawn = np.flatnonzero(self.last_drawn >= 0)
        return {"drawn": drawn.tolist(), "drawn_at": self.last_drawn[drawn].tolist()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self.last_drawn[:] = -1
        self.last_drawn[state["drawn"]] = state["drawn_at"]

    def metrics(self) -> dict[str, float]:
        sizes = [float(len(pool)) for pool in self.pool_members()]
        return super().metrics() | {f"curriculum/pool_{p}": size for p, size in enumerate(sizes)}
