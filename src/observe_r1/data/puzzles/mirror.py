"""Mirror: all tiles are turns of one pattern, but one is its mirror image. Which?"""

import random
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, FAINT, INK, blank, draw_text

_BLOCK = 2 * CELL
Pattern = tuple[str, ...]
"""Rows of a pattern: ``x`` is filled, ``-`` is not."""


class Mirror(Family):
    name: ClassVar[str] = "mirror"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"tiles": 3, "side": 3, "filled": 4},
        {"tiles": 4, "side": 3, "filled": 4},
        {"tiles": 4, "side": 4, "filled": 5},
        {"tiles": 5, "side": 4, "filled": 6},
        {"tiles": 6, "side": 4, "filled": 8},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        side = axes["side"]
        pattern = _draw_pattern(rng, side, axes["filled"])
        while _turns_to(_flip(pattern), pattern) is not None:
            pattern = _draw_pattern(rng, side, axes["filled"])
        odd = rng.randrange(axes["tiles"])
        tiles = [
            list(_turn(_flip(pattern) if tile == odd else pattern, rng.randrange(4)))
            for tile in range(axes["tiles"])
        ]
        return {"tiles": tiles, "odd": odd}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        tiles = construction["tiles"]
        columns = 2 if len(tiles) == 4 else 3
        num_rows = -(-len(tiles) // columns)
        image = blank(columns * _BLOCK, num_rows * (_BLOCK + CELL))
        for tile, pattern in enumerate(tiles):
            row, column = divmod(tile, columns)
            left, top = column * _BLOCK, row * (_BLOCK + CELL)
            draw_text(image, _letter(tile), left + _BLOCK // 2 - 5, top + 7)
            _draw_tile(image, pattern, left, top + CELL)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        letters = tuple(_letter(tile) for tile in range(len(construction["tiles"])))
        return Ask(
            question=(
                f"The tiles {letters[0]} to {letters[-1]} are turned copies of one pattern, but "
                "one is its mirror image. Which tile is it?"
            ),
            answer=_letter(construction["odd"]),
            kind="choice",
            options=letters,
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"{_letter(tile)}: {' / '.join(pattern)}"
            for tile, pattern in enumerate(construction["tiles"])
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = [tuple(pattern) for pattern in construction["tiles"][:num_facts]]
        steps, alike = [], [0]
        for tile, pattern in enumerate(seen[1:], start=1):
            turns = _turns_to(seen[0], pattern)
            if turns is None:
                steps.append(f"{_letter(tile)} is no turn of A")
            else:
                steps.append(f"{_letter(tile)} is A turned {turns} times")
                alike.append(tile)
        answer = _letter(_odd_one(alike, len(seen), len(construction["tiles"])))
        full = ", ".join([*steps, f"so {answer}"])
        alike_text = " ".join(_letter(tile) for tile in alike)
        return Reasoning(full=full, sketch=f"alike {alike_text}, so {answer}", answer=answer)

    def chance(self, level: int) -> float:
        return 1 / self.levels[level]["tiles"]


def _odd_one(alike: list[int], num_seen: int, num_tiles: int) -> int:
    """The tile that stands alone; when all that were seen are alike, the next one is guessed."""
    others = [tile for tile in range(num_seen) if tile not in alike]
    if not others:
        return min(num_seen, num_tiles - 1)
    return others[0] if len(others) == 1 else 0


def _draw_pattern(rng: random.Random, side: int, filled: int) -> Pattern:
    cells = set(rng.sample(range(side * side), filled))
    rows = [
        "".join("x" if row * side + column in cells else "-" for column in range(side))
        for row in range(side)
    ]
    return tuple(rows)


def _turn(pattern: Pattern, quarters: int) -> Pattern:
    """Turned clockwise."""
    for _ in range(quarters):
        pattern = tuple("".join(column) for column in zip(*reversed(pattern), strict=True))
    return pattern


def _flip(pattern: Pattern) -> Pattern:
    return tuple(row[::-1] for row in pattern)


def _turns_to(start: Pattern, goal: Pattern) -> int | None:
    """Quarter turns from one pattern to the other, None where no turn does it."""
    return next((turns for turns in range(4) if _turn(start, turns) == goal), None)


def _draw_tile(image: Image.Image, pattern: list[str], left: int, top: int) -> None:
    pen, size = ImageDraw.Draw(image), (_BLOCK - 8) // len(pattern)
    for row, cells in enumerate(pattern):
        for column, cell in enumerate(cells):
            x, y = left + 4 + column * size, top + 2 + row * size
            fill = COLOURS["blue"] if cell == "x" else None
            pen.rectangle((x, y, x + size, y + size), outline=FAINT, fill=fill)
    far = len(pattern) * size
    pen.rectangle((left + 4, top + 2, left + 4 + far, top + 2 + far), outline=INK)


def _letter(tile: int) -> str:
    return chr(ord("A") + tile)
