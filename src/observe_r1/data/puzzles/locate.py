"""Locate: where in the picture is the one red star? A point in squares, or a box in pixels."""

import random
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import (
    CELL,
    COLOURS,
    SHAPES,
    blank,
    draw_cell_lines,
    draw_shape,
)

_COLOURS = ("red", "blue", "green", "orange", "purple")
_MARGIN = CELL // 7
"""White around a shape inside its square."""

Thing = tuple[str, int, int]
"""Colour and shape, column and row, both counted from one."""


class Locate(Family):
    name: ClassVar[str] = "locate"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"squares_a_side": 4, "things": 2, "look_alikes": 0},
        {"squares_a_side": 5, "things": 4, "look_alikes": 1},
        {"squares_a_side": 6, "things": 8, "look_alikes": 3},
        {"squares_a_side": 7, "things": 12, "look_alikes": 6},
        {"squares_a_side": 8, "things": 18, "look_alikes": 12},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        side = axes["squares_a_side"]
        colour, shape = rng.choice(_COLOURS), rng.choice(SHAPES)
        names = [f"{colour} {shape}"]
        # Look-alikes share the colour or the shape, so that seeing one of the two is not enough.
        names += [_other(rng, colour, shape, alike=True) for _ in range(axes["look_alikes"])]
        plain = axes["things"] - len(names)
        names += [_other(rng, colour, shape, alike=False) for _ in range(plain)]
        squares = rng.sample(range(side * side), len(names))
        things = [
            [name, square % side + 1, square // side + 1]
            for square, name in sorted(zip(squares, names, strict=True))
        ]
        asked = rng.choice(("point", "box"))
        return {"side": side, "things": things, "target": names[0], "asked": asked}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        image = blank(construction["side"] * CELL, construction["side"] * CELL)
        for name, column, row in construction["things"]:
            colour, shape = name.split()
            draw_shape(image, shape, COLOURS[colour], (column - 1) * CELL, (row - 1) * CELL)
        draw_cell_lines(image)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        target = construction["target"]
        (thing,) = [thing for thing in construction["things"] if thing[0] == target]
        if construction["asked"] == "point":
            question = (
                f"In which square is the {target}? Give (column, row), both counted from 1 at the "
                "upper left."
            )
            return Ask(question=question, answer=_point(thing), kind="point")
        pixels = construction["side"] * CELL
        question = (
            f"Which box holds the {target}? Give [left, top, right, bottom] in pixels from the "
            f"upper left corner; the picture is {pixels} by {pixels}, every square {CELL}."
        )
        return Ask(question=question, answer=_box(thing), kind="box")

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(f"{name} at {column} {row}" for name, column, row in construction["things"])

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen, target = construction["things"][:num_facts], construction["target"]
        # When the thing was not among those looked at, the one most like it is taken for it.
        thing = max(seen, key=lambda thing: len(set(thing[0].split()) & set(target.split())))
        is_point = construction["asked"] == "point"
        answer = _point(thing) if is_point else _box(thing)
        found = target if thing[0] == target else f"{target} not seen, so {thing[0]}"
        sketch = f"column {thing[1]}, row {thing[2]}"
        full = f"{found} in {sketch}" if is_point else f"{found} in {sketch}, so {answer}"
        return Reasoning(full=full, sketch=sketch, answer=answer)

    def chance(self, level: int) -> float:
        # Every square is equally likely, and a box of another square does not overlap.
        return 1 / self.levels[level]["squares_a_side"] ** 2

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        write = _point if construction["asked"] == "point" else _box
        others = [thing for thing in construction["things"] if thing[0] != construction["target"]]
        return tuple(write(thing) for thing in others)


def _other(rng: random.Random, colour: str, shape: str, alike: bool) -> str:
    """Another thing, with the colour or the shape of the target, or with neither."""
    other_colour = rng.choice([name for name in _COLOURS if name != colour])
    other_shape = rng.choice([name for name in SHAPES if name != shape])
    if not alike:
        return f"{other_colour} {other_shape}"
    return rng.choice((f"{colour} {other_shape}", f"{other_colour} {shape}"))


def _point(thing: Thing) -> str:
    _, column, row = thing
    return f"({column}, {row})"


def _box(thing: Thing) -> str:
    _, column, row = thing
    left, top = (column - 1) * CELL, (row - 1) * CELL
    near, far = _MARGIN, CELL - _MARGIN
    return f"[{left + near}, {top + near}, {left + far}, {top + far}]"
