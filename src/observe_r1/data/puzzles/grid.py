"""A 4 x 4 tray of coloured shapes: the scene that counting, comparison and spatial questions share.

A cell is ``""`` or ``"red circle"``; a tray is sixteen of them, row by row.
"""

import random
from collections.abc import Callable, Sequence

from PIL import Image

from observe_r1.data.puzzles.draw import CELL, COLOURS, blank, draw_cell_lines, draw_shape

SIDE = 4
TRAY_COLOURS = ("red", "blue", "green", "yellow")
TRAY_SHAPES = ("circle", "square", "triangle", "cross")


def fill_tray(rng: random.Random, things: Sequence[str], side: int = SIDE) -> list[str]:
    """Put the things on different cells."""
    tray = [""] * (side * side)
    for cell, thing in zip(rng.sample(range(len(tray)), len(things)), things, strict=True):
        tray[cell] = thing
    return tray


def random_thing(rng: random.Random) -> str:
    return f"{rng.choice(TRAY_COLOURS)} {rng.choice(TRAY_SHAPES)}"


def draw_tray(tray: Sequence[str], side: int = SIDE) -> Image.Image:
    image = blank(side * CELL, side * CELL)
    for cell, thing in enumerate(tray):
        if thing:
            colour, shape = thing.split()
            row, column = divmod(cell, side)
            draw_shape(image, shape, COLOURS[colour], column * CELL, row * CELL)
    draw_cell_lines(image)
    return image


def rows(tray: Sequence[str]) -> list[Sequence[str]]:
    return [tray[start : start + SIDE] for start in range(0, len(tray), SIDE)]


def describe_rows(tray: Sequence[str]) -> tuple[str, ...]:
    """``1: red circle - - blue square`` for each row; a dash is an empty cell."""
    return tuple(
        f"{number}: " + " ".join(thing or "-" for thing in row)
        for number, row in enumerate(rows(tray), start=1)
    )


def count_along(seen: Sequence[Sequence[str]], matches: Callable[[str], bool]) -> str:
    """``1: 0 1 1 2; 2: 2 2 3 3``: the count so far at every cell, laid out like the rows.

    Each number is the one before it and one look at one cell: a step that a small model can learn.
    A count for a whole row at once was not (15 % of them were wrong after 2,400 steps).
    """
    lines, count = [], 0
    for number, row in enumerate(seen, start=1):
        counts = [count := count + matches(cell) for cell in row]
        lines.append(f"{number}: " + " ".join(map(str, counts)))
    return "; ".join(lines)


def plural(shape: str) -> str:
    return "crosses" if shape == "cross" else f"{shape}s"
