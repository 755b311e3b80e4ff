"""How weights move: AdamW or SGD, the learning rate over the stage, and updates per rollout."""

from typing import Literal

from pydantic import Field

from observe_r1.config_base import Config


class SupervisedOptimizer(Config):
    """Steps of the optimizer, one a step of the stage."""

    type: Literal["adamw", "sgd"] = "adamw"
    """Plain SGD is there for tests: its step is linear in the gradient."""

    lr: float = Field(default=1e-6, ge=0.0)
    """Highest learning rate, reached after the warm-up."""

    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """From the end of the warm-up to the last update; all but ``constant`` end at ``min_lr``."""

    min_lr: float = Field(default=0.0, ge=0.0)
    """Learning rate at the end of a falling schedule."""

    warmup: int = Field(default=0, ge=0)
    """Updates during which the learning rate rises linearly."""

    warmup_from: float = Field(default=0.0, ge=0.0)
    """Learning rate that the warm-up rises from: where the last stage ended, for a re-warming."""

    decay_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of all updates after which a falling schedule has reached ``min_lr``; it stays there
    for the rest."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's running means."""

    eps: float = Field(default=1e-8, gt=0.0)
    """Added to AdamW's denominator."""

    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled; vectors (biases, norms) are left out of it."""

    grad_clip: float | None = Field(default=1.0, gt=0.0)
    """Largest norm of the gradient; None: not clipped."""


class OptimizerConfig(SupervisedOptimizer):
    """Steps of the optimizer in reinforcement learning."""

    updates_per_rollout: int = Field(default=1, ge=1)
    """Parts into which a rollout's groups are cut, each one update."""
