"""The bonus of the shortest correct completion of a group.

    lengths of the correct, well-formed completions:   143   143   210   388
    bonus 0.2, floor 100:                              0.1   0.1    0     0

The floor keeps answers from collapsing to nothing: when even the shortest is at or under it, the
group has no bonus at all, and the next longer one is not promoted.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.types import Completion, Score


class Bonus(Config):
    """Extra reward of the shortest correct, well-formed completion; ties share it equally."""

    type: Literal["shortest"] = "shortest"

    coefficient: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    """The bonus: what a single winner gets, or what tied winners share."""
    floor: int = Field(default=100, ge=0)
    """Length constraint in tokens: the winner must be longer than this."""
    ceiling: int | None = Field(default=None, ge=1)
    """The winner may not be longer than this; none by default."""
    when: Literal["before", "after"] = "before"
    """Before normalisation the bonus is part of the reward; after, it is added to the advantage."""

    @model_validator(mode="after")
    def _ceiling_above_floor(self) -> "Bonus":
        if self.ceiling is not None and self.ceiling <= self.floor:
            raise ValueError(
                f"ceiling {self.ceiling} is not above floor {self.floor}, so no completion could "
                "ever win the bonus. Raise the ceiling or lower the floor."
            )
        return self

    def amounts(
        self, completions_G: Sequence[Completion], scores_G: Sequence[Score]
    ) -> list[float]:
        """The bonus of each completion of the group."""
        bonus_G = [0.0] * len(completions_G)
        able = [i for i, score in enumerate(scores_G) if score.correct and score.well_formed]
        if not able:
            return bonus_G
        shortest = min(completions_G[i].num_tokens for i in able)
        if shortest <= self.floor or (self.ceiling is not None and shortest > self.ceiling):
            return bonus_G
        winners = [i for i in able if completions_G[i].num_tokens == shortest]
        for index in winners:
            bonus_G[index] = self.coefficient / len(winners)
        return bonus_G


class ReleasedBonus(Config):
    """The bonus as the authors' released code computes it, its faults included, for comparison.

    "Correct" is a summed reward whose whole part is 1; format is not asked for; the first of tied
    completions wins alone; and a group without any correct answer gives the bonus to its first
    completion, because the length of "nothing" compares as infinite.
    """

    type: Literal["released"] = "released"

    coefficient: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    """The bonus of the winner."""
    floor: int = Field(default=100, ge=0)
    """The winner must be longer than this."""
    when: Literal["before"] = "before"
    """The released code adds the bonus before normalisation."""

    def amounts(
        self, completions_G: Sequence[Completion], scores_G: Sequence[Score]
    ) -> list[float]:
        """The bonus of each completion of the group."""
        lengths_G = [
            float(completion.num_tokens) if math.trunc(score.reward) == 1 else math.inf
            for completion, score in zip(completions_G, scores_G, strict=True)
        ]
        winner = lengths_G.index(min(lengths_G))
        bonus_G = [0.0] * len(lengths_G)
        if lengths_G[winner] > self.floor:
            bonus_G[winner] = self.coefficient
        return bonus_G


AnyBonus = Annotated[Bonus | ReleasedBonus, Field(discriminator="type")]
