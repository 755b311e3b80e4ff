"""Seeded epochs in random order: what every other curriculum is compared with."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.curriculum.base import Curriculum
from observe_r1.types import Sample


class Shuffled(Config):
    """Every sample once an epoch, in a new order each time."""

    type: Literal["shuffled"] = "shuffled"

    epochs: int | None = Field(default=1, ge=1)
    """Passes over the samples; none for as many as the run has steps."""

    def start(self, samples: Sequence[Sample], seed: int) -> "ShuffledCurriculum":
        return ShuffledCurriculum(self, samples, seed)


class ShuffledCurriculum(Curriculum):
    def __init__(self, config: Shuffled, samples: Sequence[Sample], seed: int) -> None:
        super().__init__(samples, seed)
        self.config = config
        self.epoch = 0
        self.cursor = 0
        self.order = self._shuffled()

    def _shuffled(self) -> list[int]:
        order = list(range(len(self.samples)))
        random.Random(f"{self.seed}/epoch/{self.epoch}").shuffle(order)
        return order

    def choose(self, n: int, rng: random.Random) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < n:
            if self.cursor == len(self.order):
                if self.config.epochs is not None and self.epoch + 1 >= self.config.epochs:
                    break
                self.epoch, self.cursor = self.epoch + 1, 0
                self.order = self._shuffled()
            part = self.order[self.cursor : self.cursor + n - len(chosen)]
            self.cursor += len(part)
            chosen += part
        return chosen

    def own_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "cursor": self.cursor}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.cursor = state["epoch"], state["cursor"]
        self.order = self._shuffled()

    def metrics(self) -> dict[str, float]:
        place = {"curriculum/epoch": float(self.epoch), "curriculum/position": float(self.cursor)}
        return super().metrics() | place
