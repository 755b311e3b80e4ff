"""An experiment as it is written before it runs: arms, seeds, claims, what would decide them."""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError


class Arm(Config):
    """One way of training; everything that is not said here is equal in all arms."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    summary: str
    overrides: tuple[str, ...] = ()
    """Laid over the recipe, after those that all arms share."""
    mixing: Literal["paper", "proportional", "none"] = "paper"
    """How the rungs of the arm's ladder borrow from their neighbours."""
    seeds: int = Field(default=5, ge=2)


class Guard(Config):
    """What must not get worse for a claim to hold."""

    metric: str
    margin: float = Field(ge=0)
    """The loss that would still be accepted: the interval must exclude a larger one."""


class Claim(Config):
    """A difference that a method promises, and the smallest that would matter."""

    claim: str
    """In words."""
    better: str
    """Arm that is claimed to be better …"""
    worse: str
    """… than this one."""
    metric: str
    direction: Literal["higher", "lower"] = "higher"
    smallest: float = Field(ge=0)
    """Smallest effect of interest, in the metric's unit."""
    guard: Guard | None = None


class Quick(Config):
    """The shortened form: fewer arms, seeds and steps; its verdict says that it is quick."""

    arms: tuple[str, ...]
    seeds: int = Field(default=2, ge=2)
    overrides: tuple[str, ...] = ()
    questions: int = Field(default=60, ge=1)


class Measurement(Config):
    """What is measured at the end of a trial, and while it trains."""

    questions: int = Field(default=200, ge=1)
    """Held-out puzzles, answered at the end …"""
    samples: int = Field(default=8, ge=1)
    """… so many times each."""
    curve_questions: int = Field(default=60, ge=1)
    """Held-out puzzles of each point of the learning curve."""
    curve_samples: int = Field(default=2, ge=1)
    curve_every: int = Field(default=10, ge=1)
    """Steps between two points."""
    target_accuracy: float = Field(default=0.6, gt=0, lt=1)
    """The accuracy whose cost in rollouts is read off the curve."""


class Experiment(Config):
    """One method's claims and how they are tested."""

    name: str
    title: str
    recipe: str
    model: str = "tiny"
    preset: str = "tiny"
    probed: int = Field(default=960, ge=1)
    """Training puzzles probed and arranged, once a seed."""
    overrides: tuple[str, ...] = ()
    """Of all arms."""
    measure: Measurement = Measurement()
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    quick: Quick

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [arm.name for arm in self.arms]
        used = {arm for claim in self.claims for arm in (claim.better, claim.worse)}
        for name in sorted(used | {*self.quick.arms}):
            if name not in names:
                raise ValueError(f"there is no arm '{name}'.{did_you_mean(name, names)}")
        if len(set(names)) < len(names):
            raise ValueError("two arms have the same name.")
        return self

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def shortened(self) -> "Experiment":
        """The quick form: its arms, seeds and steps, and the claims that it can test."""
        quick = self.quick
        arms = tuple(
            arm.model_copy(
                update={"seeds": quick.seeds, "overrides": arm.overrides + quick.overrides}
            )
            for arm in self.arms
            if arm.name in quick.arms
        )
        claims = tuple(c for c in self.claims if {c.better, c.worse} <= {*quick.arms})
        measure = self.measure.model_copy(update={"questions": quick.questions})
        changes = {"arms": arms, "claims": claims, "measure": measure}
        return self.model_copy(update=changes)


@cache
def experiment_names() -> tuple[str, ...]:
    """The experiments of the package."""
    folder = files("observe_r1.experiments")
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml")))


def load_experiment(name: str) -> Experiment:
    """An experiment by its name."""
    if name not in experiment_names():
        raise ConfigError(
            f"there is no experiment '{name}'.{did_you_mean(name, experiment_names())} "
            "'observe-r1 recipes' lists the methods; not every one has its claims tested yet."
        )
    source = files("observe_r1.experiments").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return build(Experiment, {"name": name, **tomllib.loads(source)}, f"experiment '{name}'")
