"""Dice: how many pips are on the tray in all?"""

import random
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, blank, draw_die

_SIDE = 4


class Dice(Family):
    name: ClassVar[str] = "dice"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"dice": 2},
        {"dice": 3},
        {"dice": 4},
        {"dice": 6},
        {"dice": 8},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        cells = sorted(rng.sample(range(_SIDE * _SIDE), axes["dice"]))
        tray = [0] * (_SIDE * _SIDE)
        for cell in cells:
            tray[cell] = rng.randint(1, 6)
        return {"tray": tray}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        image = blank(_SIDE * CELL, _SIDE * CELL)
        for cell, pips in enumerate(construction["tray"]):
            if pips:
                row, column = divmod(cell, _SIDE)
                draw_die(image, pips, column * CELL, row * CELL)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        return Ask(
            question="How many pips do the dice show in all?",
            answer=str(sum(construction["tray"])),
            kind="number",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"{number}: " + " ".join(str(pips) if pips else "-" for pips in row)
            for number, row in enumerate(_rows(construction), start=1)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        pips = [pips for row in _rows(construction)[:num_facts] for pips in row if pips]
        if not pips:
            return Reasoning(full="no dice = 0", sketch="0", answer="0")
        steps, running = [str(pips[0])], pips[0]
        for value in pips[1:]:
            steps.append(f"{running} + {value} = {running + value}")
            running += value
        sketch = f"{' + '.join(map(str, pips))} = {running}"
        return Reasoning(full=", ".join(steps), sketch=sketch, answer=str(running))

    def chance(self, level: int) -> float:
        # The commonest total of the dice: 7 of two dice one time in six, and so on.
        return (0.167, 0.125, 0.113, 0.093, 0.081)[level]


def _rows(construction: Construction) -> list[list[int]]:
    tray = construction["tray"]
    return [tray[start : start + _SIDE] for start in range(0, len(tray), _SIDE)]
