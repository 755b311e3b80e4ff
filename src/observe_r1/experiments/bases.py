"""Models that some methods need and the built-in one is not: verbose, decayed, with other skills.

    experiments/bases/verbose.toml ──from tiny, once──▶ runs/reproduce/bases/verbose-1f3a…/

A base is an ordinary recipe. It is made once for the weights it starts from and its own settings,
kept, and used by every trial; what it costs is reported and is in no arm's budget.

    python -m observe_r1.experiments.bases verbose      # by itself
"""

import hashlib
import json
import sys
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config.run import Recipe, RunConfig
from observe_r1.errors import ConfigError
from observe_r1.experiments.costs import Costs, costs_of
from observe_r1.policy.load import resolve_model
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, write_json
from observe_r1.stages.locks import only_one
from observe_r1.stages.pipeline import run_recipe

BASES = Path("runs/reproduce/bases")
"""Where bases are kept when nothing else is said."""
COST = "cost.json"


@dataclass(frozen=True, slots=True)
class Base:
    """A base that is ready: where its weights are, and what it took to make them.

    Example:
        Base(name="verbose", folder=Path("runs/reproduce/bases/verbose-1f3a9c21"), costs=costs)
    """

    name: str
    folder: Path
    costs: Costs


@cache
def base_names() -> tuple[str, ...]:
    """The bases of the package."""
    folder = files("observe_r1.experiments").joinpath("bases")
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml")))


def load_base_recipe(name: str) -> Recipe:
    """The recipe a base is made by."""
    if name not in base_names():
        raise ConfigError(f"there is no base '{name}'.{did_you_mean(name, base_names())}")
    folder = files("observe_r1.experiments").joinpath("bases")
    source = folder.joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return build(Recipe, {"name": name, **tomllib.loads(source)}, f"base '{name}'")


def make_base(
    name: str, model: str, cache_folder: Path = BASES, overrides: tuple[str, ...] = ()
) -> Base:
    """The base of that name made from ``model``; one that was made before is found again."""
    choice = Choice(model=model, data="puzzles", overrides=overrides)
    run = resolve(load_base_recipe(name), choice, Machine())
    folder = cache_folder / f"{name}-{_fingerprint(run)}"
    with only_one(cache_folder / f"{folder.name}.lock"):
        if not (folder / COST).exists():
            run_recipe(run, folder, resume=(folder / "config.json").exists())
            write_json(folder / COST, asdict(costs_of(folder)))
    return Base(name, folder, Costs(**read_json(folder / COST)))


def _fingerprint(run: RunConfig) -> str:
    """Of the settings, less what only looks on, and of the weights that are started from."""
    settings = run.model_dump(mode="json", exclude={"tracking": {"project", "name"}})
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for weights in sorted(Path(resolve_model(run.model)).glob("*.safetensors")):
        digest.update(weights.read_bytes())
    return digest.hexdigest()[:12]


def main() -> None:
    """Make the bases that are named."""
    for name in sys.argv[1:] or base_names():
        base = make_base(name, "tiny")
        print(f"{name}: {base.folder}, {base.costs.seconds:.0f} s, {base.costs.updated:.0f} tokens")


if __name__ == "__main__":
    main()
