"""Rewards of length: shorter is better where right, longer where wrong; over-long never."""

import math
from typing import Literal

from pydantic import Field, model_validator

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig


class CosineLength(RewardConfig):
    """A value that moves along half a cosine from length 0 to ``max_tokens``.

    A right answer is worth more when short, a wrong one costs less when long: thinking longer is
    encouraged only where the answer is not there yet.
    """

    type: Literal["cosine_length"] = "cosine_length"

    max_tokens: int = Field(ge=1)
    """Length at which the far end is reached."""
    right_short: float = Field(default=1.0, allow_inf_nan=False)
    """Value of a right answer of no length."""
    right_long: float = Field(default=0.5, allow_inf_nan=False)
    """Value of a right answer of ``max_tokens``."""
    wrong_short: float = Field(default=-1.0, allow_inf_nan=False)
    """Value of a wrong answer of no length."""
    wrong_long: float = Field(default=-0.5, allow_inf_nan=False)
    """Value of a wrong answer of ``max_tokens``."""

    def __call__(self, attempt: Attempt) -> float:
        near, far = self.wrong_short, self.wrong_long
        if attempt.correct:
            near, far = self.right_short, self.right_long
        share = min(attempt.num_tokens / self.max_tokens, 1.0)
        return far + 0.5 * (near - far) * (1.0 + math.cos(math.pi * share))


class SoftOverlong(RewardConfig):
    """DAPO's soft penalty: 0 up to ``max_tokens − buffer``, then linearly down to −1."""

    type: Literal["soft_overlong"] = "soft_overlong"

    max_tokens: int = Field(ge=1)
    """Length from which the penalty is full."""
    buffer: int = Field(ge=1)
    """Tokens before ``max_tokens`` over which it grows."""

    @model_validator(mode="after")
    def _buffer_fits(self) -> "SoftOverlong":
        if self.buffer > self.max_tokens:
            raise ValueError(
                f"buffer {self.buffer} is longer than max_tokens {self.max_tokens}, so even an "
                "empty completion would be punished. Lower the buffer."
            )
        return self

    def __call__(self, attempt: Attempt) -> float:
        over = attempt.num_tokens - (self.max_tokens - self.buffer)
        return -min(max(over / self.buffer, 0.0), 1.0)


class Finished(RewardConfig):
    """1 for a completion that ended by itself, 0 for one cut by the token limit."""

    type: Literal["finished"] = "finished"

    def __call__(self, attempt: Attempt) -> float:
        return 0.0 if attempt.completion.truncated else 1.0
