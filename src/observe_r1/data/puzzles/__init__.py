"""Procedural visual puzzles with exact answers: the built-in data.

To add a family: one file with a subclass of ``base.Family``, and one line in ``PUZZLES``; the contract
tests and the gallery pick it up. A family is good for reinforcement learning when guessing rarely pays
(``chance``) and the answer cannot be had without the picture.
"""

from observe_r1.data.puzzles.arithmetic import Arithmetic
from observe_r1.data.puzzles.base import Family, Item, make_item
from observe_r1.data.puzzles.comparison import Comparison
from observe_r1.data.puzzles.counting import Counting
from observe_r1.data.puzzles.dice import Dice
from observe_r1.data.puzzles.spatial import Spatial
from observe_r1.data.puzzles.variation import PLAIN, Variation
from observe_r1.errors import ConfigError
from observe_r1.types import Sample

PUZZLES: dict[str, Family] = {
    family.name: family for family in (Counting(), Comparison(), Spatial(), Arithmetic(), Dice())
}

MIX = ("counting", "comparison", "spatial", "arithmetic", "dice")
"""The families that the built-in model was trained on: what ``puzzles`` means as a data set."""


def get_family(name: str) -> Family:
    try:
        return PUZZLES[name]
    except KeyError:
        known = ", ".join(sorted(PUZZLES))
        raise ConfigError(f"no puzzle named '{name}'. Known puzzles: {known}.") from None


def make_sample(
    name: str, seed: int, index: int, level: int, variation: Variation = PLAIN
) -> Sample:
    """One puzzle as a sample; a pure function of its arguments."""
    return make_item(get_family(name), seed, index, level, variation).sample()


def builtin() -> list[Sample]:
    """The data set ``puzzles``: the mix as a ladder, probed with the built-in model."""
    from observe_r1.data.puzzles import shipped

    return shipped.builtin([PUZZLES[name] for name in MIX])


def held_out(count: int, names: tuple[str, ...] = MIX) -> list[Sample]:
    """Different puzzles that neither the built-in model nor any recipe is trained on."""
    from observe_r1.data.puzzles import shipped

    return shipped.held_out([get_family(name) for name in names], count)


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
