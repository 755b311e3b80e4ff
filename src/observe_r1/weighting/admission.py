"""Admission: which groups are trained on at all.

Rejected groups stay in the records; with dynamic sampling the training loop draws others in their
place.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from observe_r1.config_base import Config
from observe_r1.types import ScoredGroup


class AdmitAll(Config):
    """Every group is trained on."""

    type: Literal["all"] = "all"

    def admits(self, group: ScoredGroup) -> bool:
        return True


class AdmitMixed(Config):
    """Only groups with some answers right and some wrong (DAPO's dynamic sampling)."""

    type: Literal["mixed"] = "mixed"

    def admits(self, group: ScoredGroup) -> bool:
        return 0.0 < group.solve_rate < 1.0


class AdmitSolveRateBand(Config):
    """Only groups whose share of right answers lies in a band, ends included."""

    type: Literal["solve_rate_band"] = "solve_rate_band"

    low: float = Field(default=0.1, ge=0, le=1)
    """The least solve rate that is trained on."""
    high: float = Field(default=0.9, ge=0, le=1)
    """The greatest solve rate that is trained on."""

    @model_validator(mode="after")
    def _low_below_high(self) -> "AdmitSolveRateBand":
        if self.low > self.high:
            raise ValueError(
                f"low {self.low} is above high {self.high}, so no group could be admitted."
            )
        return self

    def admits(self, group: ScoredGroup) -> bool:
        return self.low - 1e-9 <= group.solve_rate <= self.high + 1e-9


Admission = Annotated[AdmitAll | AdmitMixed | AdmitSolveRateBand, Field(discriminator="type")]
