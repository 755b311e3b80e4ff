"""A recipe, its presets, and the run configuration they resolve to.

recipe file ──▶ Recipe ──preset, hardware, overrides──▶ RunConfig ──▶ config.json
"""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from observe_r1.config.evaluation import HeldOut
from observe_r1.config.order import active, check_order
from observe_r1.config.stages import (
    AskingStage,
    JudgeStage,
    ParamsStage,
    RLStage,
    Stage,
    TrainingStage,
)
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError

Status = Literal["reproduced in miniature", "parity", "implemented, untested at scale"]
"""What is known about a recipe: a claim tested with numbers; equal to a reference; neither."""


class Paper(Config):
    """Where a method comes from."""

    title: str
    authors: str = ""
    arxiv: str | None = Field(default=None, pattern=r"^\d{4}\.\d{4,5}$")
    code: str | None = None
    """Repository of the authors' code, as ``owner/name @ commit``."""


class Preset(Config):
    """Named changes to a recipe's stages, and the models they are meant for."""

    summary: str = ""
    models: tuple[str, ...] = ()
    """Model names this preset is chosen for by itself; ``*`` stands for every other model."""
    deviations: tuple[str, ...] = ()
    """What it does differently from the paper, in sentences."""
    replaces_deviations: bool = False
    """Whether the recipe's own deviations no longer hold under this preset."""
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Stage name → settings laid over the recipe's."""


class Recipe(Config):
    """A declarative file: where a method comes from, its stages, its presets."""

    name: str
    summary: str
    """One sentence: what the method does."""
    status: Status = "implemented, untested at scale"
    evidence: str | None = None
    """How the status is known: the command, or the reference it equals."""
    paper: Paper | None = None
    deviations: tuple[str, ...] = ()
    stages: tuple[Stage, ...]
    presets: dict[str, Preset] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        _check_stage_names([stage.name for stage in self.stages])
        check_order(self.stages)
        known = {stage.name for stage in self.stages}
        for name, preset in self.presets.items():
            if strangers := sorted(preset.stages.keys() - known):
                raise ValueError(
                    f"preset '{name}' changes {', '.join(strangers)}, but the recipe's stages are "
                    f"{', '.join(sorted(known))}."
                )
        return self


class Budget(Config):
    """What all stages of a run together may cost, so that runs can be compared at equal cost. A
    training stage ends with the step that reaches a limit; what teachers write is not counted."""

    generated: int | None = Field(default=None, ge=1)
    """Tokens sampled from the trained model; None: no limit."""
    updated: int | None = Field(default=None, ge=1)
    """Tokens of the forward passes of updates, prompts included; None: no limit."""


class Tracking(Config):
    """Who is told about every step besides the run folder."""

    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """By name, one or several: ``tracking.trackers=tensorboard``. Each needs its own package."""

    project: str = Field(default="observe-r1", min_length=1)
    """What runs are gathered under."""

    name: str | None = None
    """What this run is called there; None: as its folder."""

    @field_validator("trackers", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return [name.strip() for name in given.split(",")] if isinstance(given, str) else given


class RunConfig(Config):
    """Everything that decides a run; ``config.json`` loads back to the same object."""

    recipe: str
    preset: str
    hardware: str | None = None
    model: str
    data: str
    deviations: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    """As written on the command line; already part of ``stages`` and ``heldout``."""
    heldout: HeldOut = HeldOut()
    """What training is measured on while it runs."""
    budget: Budget = Budget()
    """What all stages together may cost."""
    tracking: Tracking = Tracking()
    """Who is told about every step."""
    stages: tuple[Stage, ...]

    @property
    def active_stages(self) -> list[Stage]:
        """The stages that run."""
        return active(self.stages)

    @property
    def rl_stage(self) -> RLStage:
        """The last stage of reinforcement learning."""
        found = [stage for stage in self.active_stages if isinstance(stage, RLStage)]
        if not found:
            raise ConfigError(f"recipe '{self.recipe}' has no stage of reinforcement learning.")
        return found[-1]

    @property
    def asking_stage(self) -> AskingStage | None:
        """The last stage that says how questions are put to the model: how it is evaluated."""
        found = [s for s in self.active_stages if not isinstance(s, ParamsStage | JudgeStage)]
        trained = [s for s in found if isinstance(s, TrainingStage)]
        return (trained or found or [None])[-1]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        _check_stage_names([stage.name for stage in self.stages])
        check_order(self.stages)
        return self


def _check_stage_names(names: list[str]) -> None:
    if not names:
        raise ValueError("there is no stage. Write at least one [[stages]] table.")
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(
            f"two stages are named {', '.join(twins)}; an override could mean either. "
            "Give each stage its own name."
        )
