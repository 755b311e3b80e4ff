"""The structure the grammar asks for."""

from typing import Literal

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig


class Format(RewardConfig):
    """1 for a well-formed response of the recipe's grammar, else 0; or the share that is right.

    Graded, each required section that is there and not blank counts one part and a response with
    nothing wrong one more: useful while a model still learns the tags.
    """

    type: Literal["format"] = "format"

    mode: Literal["strict", "graded"] = "strict"
    """"strict" is all or nothing."""

    def __call__(self, attempt: Attempt) -> float:
        if self.mode == "graded":
            return attempt.response.completeness
        return 1.0 if attempt.well_formed else 0.0
