"""The stages of a recipe. Every training stage has a name, a seed, limits and a saving rhythm.

``RLStage`` is flat: it inherits the settings of scoring (``grammar``, ``rewards``, ``bonus`` …) and
weighting (``advantage``, ``weight``, ``admission`` …), so that an override reads
``rl.weight.sigma=1.2``. Defaults are plain GRPO; a recipe states what its paper changes.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.loss import ClippedLoss, Loss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Engine, Sampling, SharedPrefill
from observe_r1.config_base import Config
from observe_r1.curriculum import CurriculumConfig, Shuffled
from observe_r1.rewards import Scoring
from observe_r1.weighting import Weighting


class TrainingStage(Config):
    """What every stage that trains has."""

    name: str = Field(default="stage", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    seed: int = 0
    """Start of every random number of the stage."""

    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many steps; None: when the curriculum has come to its end."""

    max_minutes: float | None = Field(default=None, gt=0)
    """Stop after the step during which so many minutes have passed."""

    eval_every: int = Field(default=0, ge=0)
    """Measure held-out questions every so many steps; 0: only when a command asks for it."""

    save_every: int = Field(default=20, ge=0)
    """Write a checkpoint every so many steps, and at the end; 0: only at the end."""

    keep_checkpoints: int = Field(default=2, ge=1)
    """How many checkpoints stay on disk, the newest first."""


class Redraw(Config):
    """Dynamic sampling: groups the admission rule rejects are replaced by newly drawn prompts."""

    max_rounds: int = Field(default=0, ge=0)
    """How often a step may draw again; 0: rejected groups are not replaced."""


class RLStage(TrainingStage, Scoring, Weighting):
    """Reinforcement learning on verifiable answers: one step is P prompts × G completions."""

    type: Literal["rl"] = "rl"

    name: str = Field(default="rl", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    prompts_per_step: int = Field(default=128, ge=1)
    """P: questions a step."""

    group_size: int = Field(default=8, ge=1)
    """G: completions a question."""

    system_prompt: str | None = None
    """None: the grammar's own; empty: none at all."""

    curriculum: CurriculumConfig = Shuffled()
    """In which order questions come."""

    redraw: Redraw = Redraw()
    """What happens to the places of rejected groups."""

    sampling: Sampling = Sampling()
    """How completions are drawn."""

    engine: Engine = SharedPrefill()
    """What draws them."""

    loss: Loss = ClippedLoss()
    """What is minimised."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """Steps, learning rate, updates per rollout."""

    policy: PolicyConfig = PolicyConfig()
    """What of the model is trained, and in which precision."""

    @model_validator(mode="after")
    def _check_group(self) -> Self:
        if self.group_size < 2:
            raise ValueError(
                f"group_size is {self.group_size}, but a group's advantages compare its "
                "completions with each other, so every one would be zero. Set it to 2 or more."
            )
        return self

    @property
    def epochs(self) -> int:
        """Passes over the data, as the curriculum counts them; 1 where it sets no number."""
        return getattr(self.curriculum, "epochs", None) or 1

    @property
    def completions_per_step(self) -> int:
        return self.prompts_per_step * self.group_size


Stage = RLStage
"""Every stage type; becomes a union on ``type`` when there is a second one."""
