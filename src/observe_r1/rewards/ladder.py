"""Rewards that take one of a few values, rung by rung."""

from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig


class Ladder(RewardConfig):
    """Broken format, no readable answer, wrong, right: −2, −1, −0.5, +2 in "Warm Up"."""

    type: Literal["ladder"] = "ladder"

    broken: float = Field(default=-2.0, allow_inf_nan=False)
    """The response is not well formed."""
    unreadable: float = Field(default=-1.0, allow_inf_nan=False)
    """Well formed, but without an answer of the kind asked for."""
    wrong: float = Field(default=-0.5, allow_inf_nan=False)
    """An answer, and not the right one."""
    right: float = Field(default=2.0, allow_inf_nan=False)
    """The right answer in the right form."""

    def __call__(self, attempt: Attempt) -> float:
        if not attempt.well_formed:
            return self.broken
        if attempt.correct:
            return self.right
        return self.wrong if attempt.grade.readable else self.unreadable
