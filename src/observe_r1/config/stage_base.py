"""What stages have in common."""

from typing import Literal

from pydantic import Field, field_validator

from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError
from observe_r1.text import get_grammar

PREVIOUS, BASE = "previous", "base"


class StageBase(Config):
    """What every stage has."""

    name: str = Field(default="stage", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    skip: bool = False
    """Leave the stage out: a recipe is compared with itself without one of its parts."""

    seed: int = 0
    """Start of every random number of the stage."""

    start_from: str = PREVIOUS
    """The weights it begins with: ``previous`` (the last stage before it that wrote a checkpoint,
    else the run's model), ``base`` (the run's model), the name of an earlier stage, or any other
    model: a folder, a run, a name on the hub."""


class TrainingStage(StageBase):
    """What every stage that trains has."""

    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many steps; None: when the data has been gone through."""

    max_minutes: float | None = Field(default=None, gt=0)
    """Stop after the step during which so many minutes have passed."""

    eval_every: int = Field(default=0, ge=0)
    """Measure held-out questions every so many steps; 0: only when a command asks for it."""

    save_every: int = Field(default=20, ge=0)
    """Write a checkpoint every so many steps, and at the end; 0: only at the end."""

    keep_checkpoints: int = Field(default=2, ge=1)
    """How many checkpoints stay on disk, the newest first."""

    optimizer_state: Literal["reset", "keep"] = "reset"
    """Begin with a new optimizer, or with the moments that the checkpoint it starts from holds."""

    policy: PolicyConfig = PolicyConfig()
    """What of the model is trained, and in which precision."""

    @field_validator("policy")
    @classmethod
    def _check_dtype(cls, policy: PolicyConfig) -> PolicyConfig:
        if policy.dtype == "float16":
            raise ValueError(
                "gradients of a language model are smaller than the smallest numbers of float16, "
                "and nothing scales them here. Set policy.dtype=bfloat16, or float32 on GPUs "
                "without it."
            )
        return policy


class Asking(Config):
    """How questions are put to a model and its answers read."""

    grammar: str = "think_answer"
    """The response structure asked for: a name in ``observe_r1.text.GRAMMARS``."""

    extract: Literal["tagged", "boxed", "plain"] = "tagged"
    """Where the answer stands."""

    system_prompt: str | None = None
    """None: the grammar's own; empty: none at all."""

    sampling: Sampling = Sampling()
    """How responses are drawn."""

    @field_validator("grammar")
    @classmethod
    def _is_known(cls, grammar: str) -> str:
        try:
            return get_grammar(grammar).name
        except ConfigError as error:
            raise ValueError(str(error)) from None
