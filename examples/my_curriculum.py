r"""A curriculum of your own: used by path, without touching the package.

    observe-r1 train grpo rl.curriculum.type=user \
        rl.curriculum.path=examples/my_curriculum.py:ShortFirst --out runs/mine

What it remembers between batches goes through ``own_state`` and comes back through
``load_own_state``, so that a run which is stopped and resumed draws what it would have drawn.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from observe_r1.curriculum import Curriculum
from observe_r1.types import Sample


class ShortFirst(Curriculum):
    """Questions from the shortest to the longest; a share of each batch is drawn from all."""

    def __init__(self, samples: Sequence[Sample], seed: int, *, share: float = 0.25) -> None:
        super().__init__(samples, seed)
        self.share = share
        self.place = 0
        self.order = sorted(range(len(samples)), key=lambda index: len(samples[index].question))

    def choose(self, n: int, rng: random.Random) -> list[int]:
        drawn = [rng.choice(self.order) for _ in range(round(self.share * n))]
        ordered = [self.order[(self.place + k) % len(self.order)] for k in range(n - len(drawn))]
        self.place = (self.place + len(ordered)) % len(self.order)
        return ordered + drawn

    def own_state(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self.place = state["place"]
