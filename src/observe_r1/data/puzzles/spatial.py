"""Spatial relation: start at a thing that stands once on the tray and walk; what is there?"""

import random
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.grid import (
    SIDE,
    TRAY_COLOURS,
    TRAY_SHAPES,
    describe_rows,
    draw_tray,
    fill_tray,
)

_STEPS = {"right": (0, 1), "left": (0, -1), "below": (1, 0), "above": (-1, 0)}


class Spatial(Family):
    name: ClassVar[str] = "spatial"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"objects": 4, "steps": 1},
        {"objects": 7, "steps": 1},
        {"objects": 10, "steps": 1},
        {"objects": 8, "steps": 2},
        {"objects": 12, "steps": 2},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        kinds = [f"{colour} {shape}" for colour in TRAY_COLOURS for shape in TRAY_SHAPES]
        # All different, so that the start is one thing; the target must not be an empty cell.
        while True:
            tray = fill_tray(rng, rng.sample(kinds, axes["objects"]))
            start = rng.choice([cell for cell, thing in enumerate(tray) if thing])
            walk = [rng.choice(list(_STEPS)) for _ in range(axes["steps"])]
            end = _walk(start, walk)
            if end is not None and end != start and tray[end]:
                return {"tray": tray, "start": start, "walk": walk}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        return (draw_tray(construction["tray"]),)

    def ask(self, construction: Construction) -> Ask:
        tray, walk = construction["tray"], construction["walk"]
        path = " then ".join(walk)
        end = _walk(construction["start"], walk)
        assert end is not None
        return Ask(
            question=f"Start at the {tray[construction['start']]} and go {path}. What is there?",
            answer=tray[end],
            kind="text",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return describe_rows(construction["tray"])

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        tray, start = construction["tray"], construction["start"]
        seen = num_facts * SIDE
        if start >= seen:
            guess = next((thing for thing in reversed(tray[:seen]) if thing), tray[start])
            return Reasoning(full=f"not seen, so {guess}", sketch=guess, answer=guess)
        cell, places = start, [f"{tray[start]}: {_place(start)}"]
        for step in construction["walk"]:
            cell = _step(cell, step)
            assert cell is not None
            places.append(f"{step} {_place(cell)}")
        path = ", ".join(places)
        if cell >= seen:
            guess = tray[start]
            return Reasoning(full=f"{path} not seen, so {guess}", sketch=guess, answer=guess)
        return Reasoning(full=f"{path}: {tray[cell]}", sketch=places[-1], answer=tray[cell])

    def chance(self, level: int) -> float:
        # Any of the sixteen kinds but the one that the question names.
        return 1 / (len(TRAY_COLOURS) * len(TRAY_SHAPES) - 1)

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        answer = self.ask(construction).answer
        return tuple(thing for thing in construction["tray"] if thing and thing != answer)


def _step(cell: int, step: str) -> int | None:
    """The cell one step on, or None outside the tray."""
    row, column = divmod(cell, SIDE)
    row, column = row + _STEPS[step][0], column + _STEPS[step][1]
    return row * SIDE + column if 0 <= row < SIDE and 0 <= column < SIDE else None


def _walk(start: int, walk: list[str]) -> int | None:
    cell: int | None = start
    for step in walk:
        if cell is None:
            return None
        cell = _step(cell, step)
    return cell


def _place(cell: int) -> str:
    """``2 3``: row two, column three, counted from one."""
    row, column = divmod(cell, SIDE)
    return f"{row + 1} {column + 1}"
