"""A reward for leaving a section empty: what TON shows not to teach skipping by itself."""

from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig


class EmptySection(RewardConfig):
    """1 where the section is there and blank, 0 where it holds text or is missing."""

    type: Literal["empty_section"] = "empty_section"

    section: str = Field(default="think", min_length=1)
    """The section that may be empty."""

    def __call__(self, attempt: Attempt) -> float:
        inside = attempt.response.first(self.section)
        return float(inside is not None and not inside)
