"""An experiment as it is written before it runs: arms, seeds, claims, what would decide them."""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config.run import Budget
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError


class Arm(Config):
    """One way of training; everything that is not said here is equal in all arms."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    summary: str
    recipe: str | None = None
    """Another recipe than the experiment's."""
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
    """What a method promises, and the smallest effect that would matter.

    Example:
        Claim(claim="shorter", better="ton", worse="grpo", metric="length", direction="lower",
              relative=True, smallest=0.5)
        Claim(claim="length is not what the judge sees", kind="level", better="full",
              metric="judge/auc_length_matched", level=0.75)
    """

    claim: str
    """In words."""
    kind: Literal["difference", "equal", "level", "gap"] = "difference"
    """``difference``: ``better`` beats ``worse``. ``equal``: they differ by less than
    ``smallest``; without ``worse``, ``better`` from ``level``. ``level``: ``better`` by itself is
    above ``level`` (or below it). ``gap``: ``better`` closes at least ``share`` of the gap from
    ``worse`` to ``reference``."""
    better: str
    """Arm that is claimed to be better …"""
    worse: str | None = None
    """… than this one."""
    reference: str | None = None
    """For a gap: the arm at its far end."""
    metric: str
    direction: Literal["higher", "lower"] = "higher"
    relative: bool = False
    """Differences are shares of the value of ``worse``."""
    smallest: float = Field(default=0.0, ge=0)
    """Smallest effect of interest, in the metric's unit (a share where relative)."""
    level: float | None = None
    """For a level, and for being equal to one: what is to be reached."""
    share: float | None = Field(default=None, gt=0)
    """For a gap: how much of it."""
    guard: Guard | None = None

    @property
    def arms(self) -> set[str]:
        """The arms it speaks of."""
        return {arm for arm in (self.better, self.worse, self.reference) if arm is not None}

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        needed = {
            "difference": ("worse",), "level": ("level",),
            "equal": ("worse",) if self.level is None else (),
            "gap": ("worse", "reference", "share"),
        }[self.kind]  # fmt: skip
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"a claim of kind '{self.kind}' needs '{name}'. Write it.")
        if self.kind == "equal" and self.smallest == 0:
            raise ValueError("a claim of kind 'equal' needs 'smallest': nothing is quite equal.")
        return self


class Quick(Config):
    """The shortened form: fewer arms, seeds and steps; its verdict says that it is quick."""

    arms: tuple[str, ...]
    seeds: int = Field(default=2, ge=2)
    overrides: tuple[str, ...] = ()
    questions: int = Field(default=60, ge=1)
    probed: int | None = Field(default=None, ge=1)
    """Training puzzles; None: as many as in the full form."""
    budget: Budget | None = None
    """None: that of the full form."""


class Also(Config):
    """One more measurement of a trial, beside the final one: another form, family or stage.

    Example:
        Also(name="ood_sketch", stage="preference", grammar="sketch")
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Its readouts are ``<name>/accuracy`` and so on."""
    stage: str | None = None
    """The stage whose weights answer; None: the last. Arms that leave it out are passed over."""
    grammar: str | None = None
    """The structure asked for; None: as the stage is trained."""
    families: tuple[str, ...] = ()
    """Families of puzzles; empty: those of the final measurement."""
    questions: int = Field(default=60, ge=1)
    samples: int = Field(default=2, ge=1)


class HeldOutLoss(Config):
    """The loss on the solver's traces of held-out puzzles, after the last stage.

    Example:
        HeldOutLoss(name="downstream", families=("clock", "dominoes"))
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Its readout is ``loss/<name>``."""
    families: tuple[str, ...]
    grammar: str = "observe_think_answer"
    questions: int = Field(default=64, ge=1)


class Measurement(Config):
    """What is measured at the end of a trial, and while it trains."""

    families: tuple[str, ...] = ()
    """Families of the held-out puzzles; empty: the built-in mix."""
    levels: tuple[int, ...] = ()
    """Levels the held-out puzzles are made at; empty: all."""
    questions: int = Field(default=200, ge=0)
    """Held-out puzzles, answered at the end (0: none) …"""
    samples: int = Field(default=8, ge=1)
    """… so many times each."""
    greedy: bool = False
    """Measure the likeliest answer instead, once."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Length limit of the answers of all arms; None: each arm's own."""
    start: bool = False
    """Measure the untrained model too, asked as each arm asks it: what training has changed."""
    shortcut: bool = True
    """Measure them again with a hint in the text that is often right."""
    also: tuple[Also, ...] = ()
    losses: tuple[HeldOutLoss, ...] = ()
    curve_questions: int = Field(default=60, ge=1)
    """Held-out puzzles of each point of the learning curve."""
    curve_samples: int = Field(default=2, ge=1)
    curve_every: int = Field(default=10, ge=0)
    """Steps between two points; 0: no curve."""
    target_accuracy: float = Field(default=0.6, gt=0, lt=1)
    """The accuracy whose cost in rollouts is read off the curve."""


class Experiment(Config):
    """One method's claims and how they are tested."""

    name: str
    title: str
    recipe: str
    method: str | None = None
    """The arm that is the method as it stands; None: the first."""
    model: str = "tiny"
    base: str | None = None
    """A model made from ``model`` by the recipe of that name in ``experiments/bases``, once and
    outside every budget: for methods that need what the built-in model lacks."""
    preset: str = "tiny"
    probed: int = Field(default=960, ge=0)
    """Training puzzles probed and arranged, once a seed; 0: stages draw puzzles of their own."""
    budget: Budget = Budget()
    """Tokens that every arm may generate and update on."""
    equal: str = ""
    """In words: what is equal between the arms, and what is not."""
    full_scale: str = ""
    """In words: how the experiment is run at full scale, and what it should show there."""
    overrides: tuple[str, ...] = ()
    """Of all arms whose recipe is the experiment's."""
    measure: Measurement = Measurement()
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    quick: Quick

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [arm.name for arm in self.arms]
        used = {arm for claim in self.claims for arm in claim.arms}
        used |= {self.method} if self.method else set()
        for name in sorted(used | {*self.quick.arms}):
            if name not in names:
                raise ValueError(f"there is no arm '{name}'.{did_you_mean(name, names)}")
        if len(set(names)) < len(names):
            raise ValueError("two arms have the same name.")
        return self

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def method_arm(self) -> str:
        return self.method or self.arms[0].name

    def recipe_of(self, arm: Arm) -> str:
        return arm.recipe or self.recipe

    def written(self) -> dict[str, Any]:
        """All there is to say of it, as JSON has it. Equal ones are the same version."""
        return self.model_dump(mode="json")

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
        claims = tuple(c for c in self.claims if c.arms <= {*quick.arms})
        asked = min(quick.questions, self.measure.questions)
        changes = {
            "arms": arms,
            "claims": claims,
            "measure": self.measure.model_copy(update={"questions": asked}),
            "budget": quick.budget or self.budget,
            "probed": self.probed if quick.probed is None else quick.probed,
        }
        return self.model_copy(update=changes)


@cache
def experiment_names() -> tuple[str, ...]:
    """The experiments of the package."""
    folder = files("observe_r1.experiments")
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml")))


def load_experiment(name: str) -> Experiment:
    """An experiment of the package by its name, or one's own by its file."""
    if name.endswith(".toml") and Path(name).is_file():
        return _read(Path(name).stem, Path(name).read_text(encoding="utf-8"))
    if name not in experiment_names():
        raise ConfigError(
            f"there is no experiment '{name}'.{did_you_mean(name, experiment_names())} "
            "'observe-r1 recipes' lists the methods; not every one has its claims tested yet."
        )
    source = files("observe_r1.experiments").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return _read(name, source)


def _read(name: str, source: str) -> Experiment:
    what = f"experiment '{name}'"
    try:
        return build(Experiment, {"name": name, **tomllib.loads(source)}, what)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{what} is not TOML: {error}.") from None
