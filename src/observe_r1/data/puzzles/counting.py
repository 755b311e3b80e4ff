"""Counting with filters: how many things on the tray match a colour, a shape, or both?"""

import random
from collections.abc import Sequence
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.grid import (
    TRAY_COLOURS,
    TRAY_SHAPES,
    count_along,
    describe_rows,
    draw_tray,
    fill_tray,
    plural,
    random_thing,
    rows,
)


class Counting(Family):
    name: ClassVar[str] = "counting"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"objects": 3, "most": 2},
        {"objects": 5, "most": 3},
        {"objects": 7, "most": 4},
        {"objects": 9, "most": 6},
        {"objects": 12, "most": 8},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        words = rng.choice(
            [
                (rng.choice(TRAY_COLOURS), rng.choice(TRAY_SHAPES)),
                (rng.choice(TRAY_COLOURS), ""),
                ("", rng.choice(TRAY_SHAPES)),
            ]
        )
        matching = rng.randint(0, axes["most"])
        things = [_thing(rng, words, wanted=number < matching) for number in range(axes["objects"])]
        return {"tray": fill_tray(rng, things), "colour": words[0], "shape": words[1]}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        return (draw_tray(construction["tray"]),)

    def ask(self, construction: Construction) -> Ask:
        noun = plural(construction["shape"]) if construction["shape"] else "shapes"
        wanted = f"{construction['colour']} {noun}".strip()
        return Ask(
            question=f"How many {wanted} are there?",
            answer=str(_count(construction, construction["tray"])),
            kind="number",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return describe_rows(construction["tray"])

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        colour, shape = construction["colour"], construction["shape"]
        seen = rows(construction["tray"])[:num_facts]
        along = count_along(seen, lambda cell: _matches(cell, colour, shape))
        counts = [_count(construction, row) for row in seen]
        total = sum(counts)
        sketch = f"{' + '.join(map(str, counts))} = {total}"
        return Reasoning(full=f"{along} = {total}", sketch=sketch, answer=str(total))

    def chance(self, level: int) -> float:
        # The count is uniform from nought to the most: the best blind guess names any of them.
        return 1 / (self.levels[level]["most"] + 1)


def _matches(thing: str, colour: str, shape: str) -> bool:
    return bool(thing) and colour in thing and shape in thing


def _count(construction: Construction, cells: Sequence[str]) -> int:
    return sum(_matches(cell, construction["colour"], construction["shape"]) for cell in cells)


def _thing(rng: random.Random, words: tuple[str, str], wanted: bool) -> str:
    """A random thing that matches the words, or does not, as wanted."""
    if wanted:
        colour, shape = words
        return f"{colour or rng.choice(TRAY_COLOURS)} {shape or rng.choice(TRAY_SHAPES)}"
    while _matches(thing := random_thing(rng), *words):
        pass
    return thing
