"""Rewards made of rewards: sums, gates, maxima and schedules, nested at will.

Each names the parts an attempt needs in ``inner``; their weighted values come back in ``combine``
and stay in the records under dotted names.
"""

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig

if TYPE_CHECKING:
    from observe_r1.rewards.table import Reward


class _Parts(RewardConfig):
    """A reward made of a list of others."""

    parts: tuple["Reward", ...] = Field(min_length=1)
    """The rewards it is made of."""

    @model_validator(mode="after")
    def _distinct_names(self) -> "_Parts":
        labels = [part.label for part in self.parts]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two parts are called '{label}'. Give one a name of its own.")
        return self

    @property
    def waits(self) -> bool:
        return any(part.waits for part in self.parts)

    def inner(self, attempt: Attempt) -> tuple[RewardConfig, ...]:
        return self.parts


class WeightedSum(_Parts):
    """The sum of its parts, each times its weight, as one reward of one name."""

    type: Literal["weighted_sum"] = "weighted_sum"

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return math.fsum(values)


class AllOf(_Parts):
    """``yes`` when every part reaches ``threshold``, else ``no`` (Vision-R1's AND reward)."""

    type: Literal["all_of"] = "all_of"

    threshold: float = Field(default=1.0, allow_inf_nan=False)
    """What each part must reach."""
    yes: float = Field(default=1.0, allow_inf_nan=False)
    """Value when all do."""
    no: float = Field(default=0.0, allow_inf_nan=False)
    """Value when one does not."""

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return self.yes if all(value >= self.threshold - 1e-9 for value in values) else self.no


class MaxOf(_Parts):
    """The best of its parts: a rule or a judge, whichever finds the answer right."""

    type: Literal["max_of"] = "max_of"

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return max(values)


class GatedProduct(_Parts):
    """``gate × (base + sum of the parts)``: without the gate nothing counts (Plantain)."""

    type: Literal["gated_product"] = "gated_product"

    gate: "Reward"
    """What everything is multiplied by: as a rule the format."""
    base: float = Field(default=1.0, allow_inf_nan=False)
    """What the gate alone is worth."""

    @property
    def waits(self) -> bool:
        return self.gate.waits or any(part.waits for part in self.parts)

    def inner(self, attempt: Attempt) -> tuple[RewardConfig, ...]:
        return (self.gate, *self.parts)

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return values[0] * (self.base + math.fsum(values[1:]))


class IfCorrect(RewardConfig):
    """A reward that counts only for correct answers."""

    type: Literal["if_correct"] = "if_correct"

    reward: "Reward"
    """What a correct answer earns."""
    otherwise: float = Field(default=0.0, allow_inf_nan=False)
    """Value of a wrong answer."""

    @property
    def waits(self) -> bool:
        return self.reward.waits

    def inner(self, attempt: Attempt) -> tuple[RewardConfig, ...]:
        return (self.reward,) if attempt.correct else ()

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return values[0] if values else self.otherwise


class Alternate(RewardConfig):
    """Two rewards in turns: of every ``window`` steps, the last ``steps`` use the second.

    Parallel-R1: accuracy for 8 of 10 steps, the tiers for 2.
    """

    type: Literal["alternate"] = "alternate"

    first: "Reward"
    """The reward of most steps."""
    second: "Reward"
    """The reward of the last steps of each window."""
    window: int = Field(default=10, ge=2)
    """Steps after which the turns repeat."""
    steps: int = Field(default=2, ge=1)
    """Steps of each window that use the second reward."""

    @model_validator(mode="after")
    def _steps_fit(self) -> "Alternate":
        if self.steps >= self.window:
            raise ValueError(
                f"steps {self.steps} fill the window of {self.window}, so the first reward would "
                "never be used. Lower steps."
            )
        return self

    @property
    def waits(self) -> bool:
        return self.first.waits or self.second.waits

    def inner(self, attempt: Attempt) -> tuple[RewardConfig, ...]:
        is_second = attempt.step % self.window >= self.window - self.steps
        return (self.second,) if is_second else (self.first,)

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return values[0]


class Phase(Config):
    """A reward that is used up to a step."""

    until: int = Field(ge=1)
    """The first step that no longer uses it."""
    reward: "Reward"
    """The reward of this phase."""


class Switch(RewardConfig):
    """One reward after the other: each phase up to its step, then ``last``."""

    type: Literal["switch"] = "switch"

    phases: tuple[Phase, ...] = Field(min_length=1)
    """The phases in order."""
    last: "Reward"
    """The reward from the end of the last phase on."""

    @model_validator(mode="after")
    def _phases_rise(self) -> "Switch":
        ends = [phase.until for phase in self.phases]
        if ends != sorted(set(ends)):
            raise ValueError(f"phases end at steps {ends}; each must end after the one before.")
        return self

    @property
    def waits(self) -> bool:
        return self.last.waits or any(phase.reward.waits for phase in self.phases)

    def inner(self, attempt: Attempt) -> tuple[RewardConfig, ...]:
        due = (phase.reward for phase in self.phases if attempt.step < phase.until)
        return (next(due, self.last),)

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        return values[0]


class Blend(RewardConfig):
    """From one reward to another, linearly over ``steps`` (style early, accuracy later)."""

    type: Literal["blend"] = "blend"

    start: "Reward"
    """The reward of step 0."""
    end: "Reward"
    """The reward from ``steps`` on."""
    steps: int = Field(ge=1)
    """Steps over which the first gives way to the second."""

    @model_validator(mode="after")
    def _distinct_names(self) -> "Blend":
        if self.start.label == self.end.label:
            raise ValueError(f"both ends are called '{self.end.label}'. Give one another name.")
        return self

    @property
    def waits(self) -> bool:
        return self.start.waits or self.end.waits

    def inner(self, attempt: Attempt) -> tuple[RewardConfig, ...]:
        return (self.start, self.end)

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        share = min(max(attempt.step / self.steps, 0.0), 1.0)
        return (1.0 - share) * values[0] + share * values[1]
