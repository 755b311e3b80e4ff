"""A reward for the style of the reasoning, by a judge that was fitted on examples of it."""

from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig
from observe_r1.rewards.style_judge import load_judge


class Style(RewardConfig):
    """1 where the judge finds the style it was fitted on, 0 where it finds the other."""

    type: Literal["style"] = "style"

    judge: str = Field(min_length=1)
    """The judge stage of the recipe that fits it, or the path of the judge.json one wrote."""

    section: str = "think"
    """The section whose text is judged; a response without it earns 0."""

    value: Literal["label", "probability"] = "label"
    """``label``: 0 or 1, as in the paper; ``probability``: how sure the judge is."""

    def __call__(self, attempt: Attempt) -> float:
        text = attempt.response.first(self.section)
        if not text:
            return 0.0
        probability = load_judge(self.judge).probability(text)
        return float(probability >= 0.5) if self.value == "label" else probability
