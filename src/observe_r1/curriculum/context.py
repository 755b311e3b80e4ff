"""Short to long, with the hardest of the earlier phases brought back.

Phase k trains on samples whose length lies between the limits L(k-1) and L(k). A share of each
batch of the later phases is drawn from the earlier ones, with weights 1 / (running solve rate +
0.05), so that what was never solved comes back most. After QwenLong-L1 (arXiv 2505.17667).
"""

import bisect
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.curriculum.base import Curriculum, field_of, numbers_of, require_known
from observe_r1.types import Sample


class Context(Config):
    """Phases by length; each passes over its samples once, then the next begins."""

    type: Literal["context"] = "context"

    by: Literal["complexity", "question"] = "complexity"
    """Length of a sample: mean tokens of its probed chains, or words of its question."""

    limits: tuple[float, ...] | None = None
    """Upper limit of each phase but the last, ascending. Not given: ``num_phases`` equal parts."""

    num_phases: int = Field(default=2, ge=1)
    """Number of phases when ``limits`` are not given."""

    replay: float = Field(default=0.25, ge=0, lt=1)
    """Share of each batch brought back from earlier phases."""

    @model_validator(mode="after")
    def _limits_ascend(self) -> Self:
        if self.limits is not None and list(self.limits) != sorted(set(self.limits)):
            raise ValueError(f"limits {self.limits} must ascend.")
        return self

    def start(self, samples: Sequence[Sample], seed: int) -> "ContextCurriculum":
        return ContextCurriculum(self, samples, seed)


class ContextCurriculum(Curriculum):
    def __init__(self, config: Context, samples: Sequence[Sample], seed: int) -> None:
        super().__init__(samples, seed)
        self.config = config
        lengths = self._lengths()
        limits = config.limits
        if limits is None:
            parts = np.arange(1, config.num_phases) / config.num_phases
            limits = tuple(sorted(set(np.quantile(lengths, parts).tolist())))
        phase_of = [bisect.bisect_left(limits, length) for length in lengths.tolist()]
        phases = [[i for i, p in enumerate(phase_of) if p == k] for k in range(len(limits) + 1)]
        self.phases = [phase for phase in phases if phase]
        for number, phase in enumerate(self.phases):
            random.Random(f"{seed}/phase/{number}").shuffle(phase)
        self.phase = 0
        self.cursor = 0

    def _lengths(self) -> np.ndarray:
        if self.config.by == "question":
            return np.array([len(text.split()) for text in field_of(self.samples, "question")])
        lengths = numbers_of(self.samples, "complexity")
        require_known(lengths, "context", "complexity")
        return lengths

    def choose(self, n: int, rng: random.Random) -> list[int]:
        if self.phase < len(self.phases) and self.cursor == len(self.phases[self.phase]):
            self.phase, self.cursor = self.phase + 1, 0
        if self.phase == len(self.phases):
            return []
        earlier = [index for phase in self.phases[: self.phase] for index in phase]
        num_replayed = min(round(self.config.replay * n), len(earlier), n - 1)
        fresh = self.phases[self.phase][self.cursor : self.cursor + n - num_replayed]
        self.cursor += len(fresh)
        chosen = fresh + self._hardest(earlier, num_replayed, rng)
        rng.shuffle(chosen)
        return chosen

    def _hardest(self, earlier: list[int], count: int, rng: random.Random) -> list[int]:
        """A weighted draw without repeats: the ``count`` largest u^(1/w) (Efraimidis-Spirakis)."""
        keys = {index: rng.random() ** (self.rates.rate(index) + 0.05) for index in earlier}
        return sorted(earlier, key=keys.__getitem__, reverse=True)[:count]

    def own_state(self) -> dict[str, Any]:
        return {"phase": self.phase, "cursor": self.cursor}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self.phase, self.cursor = state["phase"], state["cursor"]

    def metrics(self) -> dict[str, float]:
        place = {"curriculum/phase": float(self.phase), "curriculum/position": float(self.cursor)}
        return super().metrics() | place
