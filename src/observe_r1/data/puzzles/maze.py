"""Maze: how long is the way from S to E, or which way is it?

The maze is a tree, so between two cells there is one way without turning back.
"""

import random
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, INK, blank, draw_text

_STEPS = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
_BACK = {"right": "left", "down": "up", "left": "right", "up": "down"}


class Maze(Family):
    name: ClassVar[str] = "maze"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"side": 3, "shortest": 2},
        {"side": 4, "shortest": 3},
        {"side": 4, "shortest": 5},
        {"side": 5, "shortest": 6},
        {"side": 6, "shortest": 8},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        side = axes["side"]
        while True:
            doors = _dig(rng, side)
            start = rng.randrange(side * side)
            ways = _ways(doors, side, start, limit=side * side)
            # The length is drawn before the end, so that long ways are as common as short ones.
            lengths = sorted({len(way) for way in ways.values() if len(way) >= axes["shortest"]})
            if lengths:
                length = rng.choice(lengths)
                end = rng.choice([cell for cell, way in ways.items() if len(way) == length])
                asked = rng.choice(("length", "way"))
                return {"side": side, "doors": doors, "start": start, "end": end, "asked": asked}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        side = construction["side"]
        image = blank(side * CELL, side * CELL)
        pen, last = ImageDraw.Draw(image), side * CELL - 1
        pen.rectangle((0, 0, last, last), outline=INK, width=2)
        for cell, doors in enumerate(construction["doors"]):
            row, column = divmod(cell, side)
            x, y = (column + 1) * CELL, (row + 1) * CELL
            if "right" not in doors:
                pen.rectangle((x - 1, y - CELL, x, y), fill=INK)
            if "down" not in doors:
                pen.rectangle((x - CELL, y - 1, x, y), fill=INK)
        for sign, cell, colour in (("S", "start", "green"), ("E", "end", "red")):
            row, column = divmod(construction[cell], side)
            draw_text(image, sign, column * CELL + 9, row * CELL + 7, 2, COLOURS[colour])
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        way = _way(construction, construction["side"])
        if construction["asked"] == "length":
            question = "How many steps from cell to cell is the shortest way from S to E?"
            return Ask(question=question, answer=str(len(way)), kind="number")
        question = "Which steps (left, right, up, down) lead from S to E the shortest way?"
        return Ask(question=question, answer=", ".join(way), kind="sequence")

    def facts(self, construction: Construction) -> tuple[str, ...]:
        side = construction["side"]
        marks = {construction["start"]: "S ", construction["end"]: "E "}
        cells = [
            f"{marks.get(cell, '')}{' '.join(doors)}"
            for cell, doors in enumerate(construction["doors"])
        ]
        return tuple(
            f"{row + 1}: {', '.join(cells[row * side : (row + 1) * side])}" for row in range(side)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        way = _way(construction, num_facts)
        side, cell = construction["side"], construction["start"]
        if not way:
            way = _guess(construction, num_facts)
            full = f"way not seen, so {' '.join(way)}"
        else:
            places = [_place(cell, side)]
            for step in way:
                cell = _neighbour(cell, step, side)
                places.append(f"{step} {_place(cell, side)}")
            full = ", ".join(places)
        if construction["asked"] == "length":
            answer = str(len(way))
            return Reasoning(full=f"{full}, so {answer} steps", sketch=" ".join(way), answer=answer)
        return Reasoning(full=full, sketch=f"{len(way)} steps", answer=", ".join(way))

    def chance(self, level: int) -> float:
        # Found by counting 40,000 items a level: the commonest length and the commonest way.
        return (0.127, 0.073, 0.101, 0.058, 0.042)[level]

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        if construction["asked"] == "length":
            return super().wrong_answers(construction)
        way = _way(construction, construction["side"])
        turned = [*way[:-1], _BACK[way[-1]]]
        swapped = [_BACK[way[0]], *way[1:]]
        return tuple(", ".join(steps) for steps in (turned, swapped, way[:-1]))


def _dig(rng: random.Random, side: int) -> list[list[str]]:
    """The open sides of each cell of a maze without loops: a depth-first walk."""
    doors: list[set[str]] = [set() for _ in range(side * side)]
    trail, reached = [rng.randrange(side * side)], set()
    while trail:
        cell = trail[-1]
        reached.add(cell)
        fresh = [
            step for step in _STEPS if _inside(cell, step, side)
            and _neighbour(cell, step, side) not in reached
        ]  # fmt: skip
        if not fresh:
            trail.pop()
            continue
        step = rng.choice(fresh)
        following = _neighbour(cell, step, side)
        doors[cell].add(step)
        doors[following].add(_BACK[step])
        trail.append(following)
    return [[step for step in _STEPS if step in open_sides] for open_sides in doors]


def _inside(cell: int, step: str, side: int) -> bool:
    row, column = divmod(cell, side)
    return 0 <= row + _STEPS[step][0] < side and 0 <= column + _STEPS[step][1] < side


def _neighbour(cell: int, step: str, side: int) -> int:
    return cell + _STEPS[step][0] * side + _STEPS[step][1]


def _ways(doors: list[list[str]], side: int, start: int, limit: int) -> dict[int, list[str]]:
    """The way to every cell that can be reached inside the first ``limit`` cells."""
    ways: dict[int, list[str]] = {start: []} if start < limit else {}
    waiting = list(ways)
    for cell in waiting:
        for step in doors[cell]:
            following = _neighbour(cell, step, side)
            if following not in ways and following < limit:
                ways[following] = [*ways[cell], step]
                waiting.append(following)
    return ways


def _way(construction: Construction, num_rows: int) -> list[str]:
    """The way from S to E inside the first rows; empty where there is none."""
    side = construction["side"]
    ways = _ways(construction["doors"], side, construction["start"], num_rows * side)
    return ways.get(construction["end"], [])


def _guess(construction: Construction, num_rows: int) -> list[str]:
    """As if there were no walls; an end that was not seen is taken to be in the last row seen."""
    side = construction["side"]
    (row, column), (end_row, end_column) = (
        divmod(construction[name], side) for name in ("start", "end")
    )
    down = min(end_row, num_rows) - row
    right = end_column - column
    way = ["down" if down > 0 else "up"] * abs(down)
    way += ["right" if right > 0 else "left"] * abs(right)
    return way or ["down"]


def _place(cell: int, side: int) -> str:
    row, column = divmod(cell, side)
    return f"{row + 1} {column + 1}"
