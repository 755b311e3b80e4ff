"""Graded right or wrong."""

from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig


class Accuracy(RewardConfig):
    """``right`` for a correct answer, ``wrong`` for any other."""

    type: Literal["accuracy"] = "accuracy"

    right: float = Field(default=1.0, allow_inf_nan=False)
    """Reward of a correct answer."""
    wrong: float = Field(default=0.0, allow_inf_nan=False)
    """Reward of a wrong or missing answer; −1 in Parallel-R1."""

    def __call__(self, attempt: Attempt) -> float:
        return self.right if attempt.correct else self.wrong
