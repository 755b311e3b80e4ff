"""Climb when a rung is mastered, step back when it collapses: the ladder with feedback."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.curriculum.base import Curriculum, numbers_of, require_known
from observe_r1.types import Sample


class Rungs(Config):
    """One rung at a time; its running solve rate says when to go up or down. Never ends."""

    type: Literal["rungs"] = "rungs"

    advance_at: float = Field(default=0.7, gt=0, le=1)
    """Go up when the mean solve rate of the last groups reaches this."""

    step_back_at: float = Field(default=0.1, ge=0, lt=1)
    """Go down when it falls below this."""

    window: int = Field(default=64, ge=1)
    """Groups the mean is taken over; no move before a rung has shown as many."""

    max_passes: int | None = Field(default=3, ge=1)
    """Go up after as many passes over a rung, mastered or not; none waits for mastery."""

    @model_validator(mode="after")
    def _thresholds_apart(self) -> Self:
        if self.step_back_at >= self.advance_at:
            raise ValueError(
                f"step_back_at {self.step_back_at} is not below advance_at {self.advance_at}, so a "
                "rung would be left in both directions at once. Lower step_back_at."
            )
        return self

    def start(self, samples: Sequence[Sample], seed: int) -> "RungsCurriculum":
        return RungsCurriculum(self, samples, seed)


class RungsCurriculum(Curriculum):
    def __init__(self, config: Rungs, samples: Sequence[Sample], seed: int) -> None:
        super().__init__(samples, seed)
        self.config = config
        rungs = numbers_of(samples, "rung")
        if np.isnan(rungs).all():  # probed, not arranged: a rung is then its level
            rungs = numbers_of(samples, "level")
        require_known(rungs, "rungs", "rung or level")
        self.names = sorted(set(rungs.tolist()))
        self.members = [np.flatnonzero(rungs == name).tolist() for name in self.names]
        self.rung_of = {index: r for r, members in enumerate(self.members) for index in members}
        self.rung = 0
        self.visit = 0
        """Number of moves so far: each visit shuffles its rung anew."""
        self.drawn = 0
        self.recent: list[float] = []
        self._order: tuple[tuple[int, int] | None, list[int]] = (None, [])

    def choose(self, n: int, rng: random.Random) -> list[int]:
        return [self._draw() for _ in range(n)]

    def _draw(self) -> int:
        members = self.members[self.rung]
        passes, place = divmod(self.drawn, len(members))
        last_rung = self.rung == len(self.members) - 1
        if self.config.max_passes and passes >= self.config.max_passes and not last_rung:
            self._move(+1)
            return self._draw()
        self.drawn += 1
        return self._pass_order(passes)[place]

    def _pass_order(self, passes: int) -> list[int]:
        key = (self.visit, passes)
        if self._order[0] != key:  # shuffled once a pass, not once a draw
            order = list(self.members[self.rung])
            random.Random(f"{self.seed}/visit/{self.visit}/{passes}").shuffle(order)
            self._order = key, order
        return self._order[1]

    def learn(self, index: int, solve_rate: float) -> None:
        if self.rung_of[index] != self.rung:  # drawn before the last move
            return
        self.recent = [*self.recent, solve_rate][-self.config.window :]
        if len(self.recent) < self.config.window:
            return
        mean = sum(self.recent) / len(self.recent)
        if mean >= self.config.advance_at and self.rung < len(self.members) - 1:
            self._move(+1)
        elif mean < self.config.step_back_at and self.rung > 0:
            self._move(-1)

    def _move(self, step: int) -> None:
        self.rung += step
        self.visit += 1
        self.drawn = 0
        self.recent = []

    def own_state(self) -> dict[str, Any]:
        return {"rung": self.rung, "visit": self.visit, "drawn": self.drawn,
                "recent": list(self.recent)}  # fmt: skip

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self.rung, self.visit = state["rung"], state["visit"]
        self.drawn, self.recent = state["drawn"], list(state["recent"])
        self._order = (None, [])

    def metrics(self) -> dict[str, float]:
        place = {"curriculum/rung": self.names[self.rung], "curriculum/moves": float(self.visit)}
        if self.recent:
            place["curriculum/rung_solve_rate"] = sum(self.recent) / len(self.recent)
        return super().metrics() | place
