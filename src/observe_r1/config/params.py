"""Operations on weights between two stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.stage_base import BASE, StageBase
from observe_r1.config_base import Config

Part = Literal["vision", "aligner", "language"]


class ShrinkPerturb(Config):
    """new = shrink · old + perturb · fresh, with a freshly initialised model as the noise, so that
    every layer is perturbed at its own scale. 0 and 1: a cold start; 1 and 0: nothing changes."""

    type: Literal["shrink_perturb"] = "shrink_perturb"

    shrink: float = Field(default=0.4, ge=0.0, le=1.0)
    """Factor of the weights."""

    perturb: float = Field(default=0.1, ge=0.0)
    """Factor of freshly initialised weights."""

    parts: tuple[Part, ...] = ("vision", "aligner", "language")
    """The parts of the model that are changed."""


class Merge(Config):
    """base + Σ weight · τ, where τ is what a model learnt since the base (its task vector)."""

    type: Literal["merge"] = "merge"

    models: tuple[str, ...] = Field(min_length=1)
    """Names of earlier stages, folders, runs, or names on the hub."""

    base: str = BASE
    """What they were trained from: ``base`` (the run's model), an earlier stage, or a model."""

    weights: tuple[float, ...] = ()
    """One factor a model; empty: one over their number for each, so that their mean is added."""

    normalise: bool = False
    """Scale every task vector to the mean of their norms, so that none outweighs the others."""

    drop: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of each task vector's elements that is dropped at random; the others are scaled up by
    1 / (1 - drop)."""

    erase: bool = False
    """Erase elements whose sign is the minority's, weighed by size over the models."""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.weights and len(self.weights) != len(self.models):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.models)} models. Give one a model."
            )
        return self


Operation = Annotated[ShrinkPerturb | Merge, Field(discriminator="type")]


class ParamsStage(StageBase):
    """Changes weights without training. The learning rate is re-warmed by the stage after it, whose
    schedule begins anew (``optimizer.warmup``, ``optimizer.warmup_from``)."""

    type: Literal["params"] = "params"

    name: str = Field(default="params", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    operations: tuple[Operation, ...] = Field(min_length=1)
    """One after the other, on the weights the stage starts from."""

    optimizer: Literal["reset", "keep"] = "reset"
    """Whether the optimizer's moments of the checkpoint it starts from are handed on; the next
    stage takes them only with ``optimizer_state = "keep"``."""
