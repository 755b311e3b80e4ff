"""A penalty for saying the same over and over."""

import re
from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig

_WORD = re.compile(r"\w+|[^\w\s]")


class Repetition(RewardConfig):
    """``−(1 − distinct n-grams / all n-grams)``: 0 where nothing repeats, near −1 in a loop."""

    type: Literal["repetition"] = "repetition"

    ngram: int = Field(default=3, ge=1)
    """Words in a row that are counted as one."""
    allowed: float = Field(default=0.0, ge=0, lt=1)
    """Share of repeated n-grams that is not punished; ordinary reasoning repeats a little."""

    def __call__(self, attempt: Attempt) -> float:
        words = _WORD.findall(attempt.text.casefold())
        total = len(words) - self.ngram + 1
        if total < 1:
            return 0.0
        distinct = len(set(zip(*(words[i:] for i in range(self.ngram)), strict=False)))
        repeated = 1.0 - distinct / total
        return -max(repeated - self.allowed, 0.0) / (1.0 - self.allowed)
