"""The recipes that come with the package, and recipes from a user's file.

``names()`` and ``load_recipe(name_or_path)`` read TOML; ``resolve.resolve`` turns a recipe, a model
and a machine into the configuration of a run.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config.run import Recipe
from observe_r1.errors import ConfigError

NOT_RECIPES = {"hardware"}
"""TOML files beside the recipes that hold something else."""


def names() -> list[str]:
    """The recipes of the package, in alphabetical order."""
    stems = (Path(entry.name) for entry in files("observe_r1.recipes").iterdir())
    return sorted(p.stem for p in stems if p.suffix == ".toml" and p.stem not in NOT_RECIPES)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by its name (``"grpo"``), or from a file of your own (``"my/recipe.toml"``)."""
    text = str(name_or_path)
    if text.endswith(".toml"):
        return _read_recipe(Path(text).stem, _read_file(Path(text)), f"recipe {text}")
    if text not in names():
        raise ConfigError(
            f"there is no recipe named '{text}'.{did_you_mean(text, names())} "
            "A recipe of your own is given by its path, ending in .toml."
        )
    source = files("observe_r1.recipes").joinpath(f"{text}.toml").read_text(encoding="utf-8")
    return _read_recipe(text, source, f"recipe '{text}'")


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}. Give the path of a recipe, or one of: {', '.join(names())}."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}.") from None


def _read_recipe(name: str, source: str, what: str) -> Recipe:
    try:
        values: dict[str, Any] = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{what} is not TOML: {error}.") from None
    return build(Recipe, {"name": name, **values}, what)
