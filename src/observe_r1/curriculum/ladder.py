"""In ladder order, once: the curriculum of Observe-R1.

A second epoch is re-graded. The slots of the ladder keep their pattern of levels, and the samples,
sorted anew by their running solve rate, fill them: the k-th easiest sample takes the k-th easiest
slot. So what has been learned moves down, what has turned out hard moves up, and the mixing stays.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.curriculum.base import Curriculum, field_of, numbers_of, require_known
from observe_r1.types import Sample


class Ladder(Config):
    """Rung after rung, easy to hard."""

    type: Literal["ladder"] = "ladder"

    epochs: int | None = Field(default=1, ge=1)
    """Passes over the ladder; none for as many as the run has steps."""

    def start(self, samples: Sequence[Sample], seed: int) -> "LadderCurriculum":
        return LadderCurriculum(self, samples, seed)


class LadderCurriculum(Curriculum):
    def __init__(self, config: Ladder, samples: Sequence[Sample], seed: int) -> None:
        super().__init__(samples, seed)
        self.config = config
        self.positions = numbers_of(samples, "position")
        require_known(self.positions, "ladder", "position in a ladder")
        self.levels = numbers_of(samples, "level")
        require_known(self.levels, "ladder", "difficulty level")
        self.rungs = [None if rung is None else float(rung) for rung in field_of(samples, "rung")]
        self.complexities = numbers_of(samples, "complexity")
        self.slots = np.argsort(self.positions, kind="stable")
        self.order = self.slots.tolist()
        self.epoch = 0
        self.cursor = 0

    def choose(self, n: int, rng: random.Random) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < n:
            if self.cursor == len(self.order) and not self._next_epoch():
                break
            part = self.order[self.cursor : self.cursor + n - len(chosen)]
            self.cursor += len(part)
            chosen += part
        return chosen

    def _next_epoch(self) -> bool:
        if self.config.epochs is not None and self.epoch + 1 >= self.config.epochs:
            return False
        self.epoch += 1
        self.cursor = 0
        self.order = self._regraded()
        return True

    def _regraded(self) -> list[int]:
        slot_levels = self.levels[self.slots]
        slots_by_ease = np.argsort(slot_levels, kind="stable")
        samples_by_ease = np.lexsort((self.positions, self.complexities, -self.rates.rates()))
        order = np.empty(len(self.slots), dtype=np.int64)
        order[slots_by_ease] = samples_by_ease
        return order.tolist()

    def own_state(self) -> dict[str, Any]:
        # A later epoch's order follows from the solve rates at its start, which are gone by now.
        order = self.order if self.epoch else None
        return {"epoch": self.epoch, "cursor": self.cursor, "order": order}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.cursor = state["epoch"], state["cursor"]
        self.order = state["order"] or self.slots.tolist()

    def metrics(self) -> dict[str, float]:
        last = self.order[max(0, self.cursor - 1)]
        slot = int(self.slots[max(0, self.cursor - 1)])
        rung = self.rungs[slot]
        place = {
            "curriculum/epoch": float(self.epoch),
            "curriculum/position": float(self.cursor),
            "curriculum/level": float(self.levels[last]),
        }
        if rung is not None:
            place["curriculum/rung"] = rung
        return super().metrics() | place
