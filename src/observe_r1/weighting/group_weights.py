"""Group weights: how much the advantages of one group count against another's."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.errors import DataError
from observe_r1.types import ScoredGroup
from observe_r1.weighting.user import UserWeight


class UniformWeight(Config):
    """Every group counts the same."""

    type: Literal["uniform"] = "uniform"

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> list[float]:
        return [1.0] * len(groups_P)


class UncertaintyWeight(Config):
    """``f = 4·σ·p·(1 − p)`` with ``p`` the group's share of correct answers.

    4p(1 − p) is 1 at p = 1/2 and 0 where a group is all right or all wrong, so prompts the model
    is unsure about count most. p comes from correctness alone: no other reward can bend it.
    """

    type: Literal["uncertainty"] = "uncertainty"

    sigma: float = Field(default=1.8, gt=0, allow_inf_nan=False)
    """σ: the weight of a group that is half right."""
    floor: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """The least weight of any group; above 0, format can be learnt from all-wrong groups too."""
    normalise: bool = False
    """Divide by the mean over the batch: an ablation of σ then keeps the gradient's scale."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> list[float]:
        weights_P = [
            max(self.floor, uncertainty(group.solve_rate, self.sigma)) for group in groups_P
        ]
        return to_mean_one(weights_P) if self.normalise else weights_P


class ReleasedUncertaintyWeight(Config):
    """The weight as the authors' released code computes it, for comparison.

    A completion counts as correct by the whole part of its total reward, bonus included; with a
    bonus of 0.5 and more a correct answer truncates to 2 and p is no longer a share.
    """

    type: Literal["released_uncertainty"] = "released_uncertainty"

    sigma: float = Field(default=1.8, gt=0, allow_inf_nan=False)
    """σ of the released code."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> list[float]:
        return [uncertainty(_released_solve_rate(group), self.sigma) for group in groups_P]


class StaticDifficultyWeight(Config):
    """A weight by the probe's difficulty ``d = 1 − solve_rate``, fixed before training.

    Linear from ``easiest`` at d = 0 to ``hardest`` at d = 1.
    """

    type: Literal["static_difficulty"] = "static_difficulty"

    easiest: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Weight of a sample every probe rollout solved."""
    hardest: float = Field(default=1.5, ge=0, allow_inf_nan=False)
    """Weight of a sample no probe rollout solved."""
    normalise: bool = False
    """Divide by the mean over the batch."""

    @model_validator(mode="after")
    def _not_both_zero(self) -> "StaticDifficultyWeight":
        if self.easiest == self.hardest == 0:
            raise ValueError("easiest and hardest are both 0, so nothing would be learnt.")
        return self

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> list[float]:
        weights_P = [self._weight(group) for group in groups_P]
        return to_mean_one(weights_P) if self.normalise else weights_P

    def _weight(self, group: ScoredGroup) -> float:
        solve_rate = group.sample.solve_rate
        if solve_rate is None:
            raise DataError(
                f"sample '{group.sample.id}' has no solve rate, so it has no static difficulty. "
                "Run 'observe-r1 data probe' on the data first, or use the weight 'uncertainty'."
            )
        return self.easiest + (self.hardest - self.easiest) * (1.0 - solve_rate)


GroupWeight = Annotated[
    UniformWeight
    | UncertaintyWeight
    | ReleasedUncertaintyWeight
    | StaticDifficultyWeight
    | UserWeight,
    Field(discriminator="type"),
]


def uncertainty(solve_rate: float, sigma: float) -> float:
    """``4·σ·p·(1 − p)``."""
    return 4.0 * sigma * solve_rate * (1.0 - solve_rate)


def to_mean_one(weights_P: list[float]) -> list[float]:
    """Scaled to a mean of 1; all-zero weights stay as they are."""
    total = math.fsum(weights_P)
    return [w * len(weights_P) / total for w in weights_P] if total > 0 else weights_P


def _released_solve_rate(group: ScoredGroup) -> float:
    return sum(math.trunc(score.reward) for score in group.scores_G) / len(group.scores_G)
