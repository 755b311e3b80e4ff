"""Procedural visual puzzles with exact answers: the built-in data.

To add a family: one file with a subclass of ``base.Family``, and one line in ``PUZZLES``; the
contract tests and the gallery pick it up. A family is good for reinforcement learning when guessing
rarely pays (``chance``) and the answer cannot be had without the picture.
"""

from observe_r1.data.puzzles.arithmetic import Arithmetic
from observe_r1.data.puzzles.base import Family, Item, make_item
from observe_r1.data.puzzles.chart import Chart
from observe_r1.data.puzzles.clock import Clock
from observe_r1.data.puzzles.comparison import Comparison
from observe_r1.data.puzzles.counting import Counting
from observe_r1.data.puzzles.dice import Dice
from observe_r1.data.puzzles.dominoes import Dominoes
from observe_r1.data.puzzles.events import Events
from observe_r1.data.puzzles.geometry import Geometry
from observe_r1.data.puzzles.knights import Knights
from observe_r1.data.puzzles.locate import Locate
from observe_r1.data.puzzles.maze import Maze
from observe_r1.data.puzzles.mirror import Mirror
from observe_r1.data.puzzles.panels import Panels
from observe_r1.data.puzzles.spatial import Spatial
from observe_r1.data.puzzles.user import load_family
from observe_r1.data.puzzles.variation import PLAIN, Variation
from observe_r1.errors import ConfigError
from observe_r1.types import Sample

PUZZLES: dict[str, Family] = {
    family.name: family
    for family in (
        Counting(),
        Comparison(),
        Spatial(),
        Arithmetic(),
        Dice(),
        Dominoes(),
        Chart(),
        Clock(),
        Maze(),
        Mirror(),
        Geometry(),
        Knights(),
        Events(),
        Panels(),
        Locate(),
    )
}

MIX = ("counting", "comparison", "spatial", "arithmetic", "dice")
"""The families that the built-in model was trained on: what ``puzzles`` means as a data set."""


def get_family(name: str) -> Family:
    """A built-in family by name, or a user's as ``file.py:ClassName``."""
    if ":" in name:
        return load_family(name)
    try:
        return PUZZLES[name]
    except KeyError:
        known = ", ".join(sorted(PUZZLES))
        raise ConfigError(
            f"no puzzle named '{name}'. Known puzzles: {known}; your own is named as "
            "file.py:ClassName."
        ) from None


def make_sample(
    name: str, seed: int, index: int, level: int, variation: Variation = PLAIN
) -> Sample:
    """One puzzle as a sample; a pure function of its arguments."""
    return make_item(get_family(name), seed, index, level, variation).sample()


def builtin() -> list[Sample]:
    """The data set ``puzzles``: the mix as a ladder, probed with the built-in model."""
    from observe_r1.data.puzzles import shipped

    return shipped.builtin([PUZZLES[name] for name in MIX])


def held_out(
    count: int, names: tuple[str, ...] = MIX, levels: tuple[int, ...] = ()
) -> list[Sample]:
    """Different puzzles that neither the built-in model nor any recipe is trained on."""
    from observe_r1.data.puzzles import shipped

    return shipped.held_out([get_family(name) for name in names], count, levels)


__all__ = [
    "MIX",
    "PUZZLES",
    "Family",
    "Item",
    "Variation",
    "builtin",
    "get_family",
    "held_out",
    "make_item",
    "make_sample",
]
