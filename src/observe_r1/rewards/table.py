"""Every reward by its type, and the union recipes are written in."""

from typing import Annotated, Any

from pydantic import Field

from observe_r1.rewards.accuracy import Accuracy
from observe_r1.rewards.combine import (
    AllOf,
    Alternate,
    Blend,
    GatedProduct,
    IfCorrect,
    MaxOf,
    Phase,
    Switch,
    WeightedSum,
)
from observe_r1.rewards.empty_section import EmptySection
from observe_r1.rewards.format import Format
from observe_r1.rewards.judge import Judge
from observe_r1.rewards.ladder import Ladder
from observe_r1.rewards.length import CosineLength, Finished, SoftOverlong
from observe_r1.rewards.overlap import BoxOverlap, IntervalOverlap, PointWithin
from observe_r1.rewards.repetition import Repetition
from observe_r1.rewards.structure import ParallelBlocks, ParallelTiers, ToolCalls
from observe_r1.rewards.style import Style
from observe_r1.rewards.user import User

Reward = Annotated[
    Accuracy
    | Format
    | CosineLength
    | SoftOverlong
    | Finished
    | Repetition
    | BoxOverlap
    | IntervalOverlap
    | PointWithin
    | Ladder
    | ParallelBlocks
    | ParallelTiers
    | ToolCalls
    | EmptySection
    | Judge
    | Style
    | User
    | WeightedSum
    | AllOf
    | MaxOf
    | GatedProduct
    | IfCorrect
    | Alternate
    | Switch
    | Blend,
    Field(discriminator="type"),
]

COMBINED = (Phase, WeightedSum, AllOf, MaxOf, GatedProduct, IfCorrect, Alternate, Switch, Blend)
for _combined in COMBINED:
    # They hold rewards, themselves included: only here is the whole union known.
    _combined.model_rebuild(_types_namespace={"Reward": Reward, "Phase": Phase})


def _by_type() -> dict[str, Any]:
    return {cls.model_fields["type"].default: cls for cls in Reward.__origin__.__args__}  # type: ignore[attr-defined]


REWARDS: dict[str, Any] = _by_type()
"""Reward class by type."""
