"""Dominoes: by how much does the fullest domino beat the emptiest?"""

import random
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, blank, draw_domino

_COLUMNS, _ROWS = 2, 4


class Dominoes(Family):
    name: ClassVar[str] = "dominoes"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"dominoes": 2, "most_pips": 3},
        {"dominoes": 2, "most_pips": 6},
        {"dominoes": 3, "most_pips": 6},
        {"dominoes": 5, "most_pips": 6},
        {"dominoes": 8, "most_pips": 6},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        places = sorted(rng.sample(range(_COLUMNS * _ROWS), axes["dominoes"]))
        most = axes["most_pips"]
        halves = [[rng.randint(0, most), rng.randint(0, most)] for _ in places]
        return {"places": places, "dominoes": halves}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        image = blank(_COLUMNS * 2 * CELL, _ROWS * CELL)
        for place, (first, second) in zip(
            construction["places"], construction["dominoes"], strict=True
        ):
            row, column = divmod(place, _COLUMNS)
            draw_domino(image, first, second, column * 2 * CELL, row * CELL)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        totals = [sum(halves) for halves in construction["dominoes"]]
        return Ask(
            question=(
                "Add up the pips of each domino. What is the largest total minus the smallest?"
            ),
            answer=str(max(totals) - min(totals)),
            kind="number",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"{number}: {first} {second}"
            for number, (first, second) in enumerate(construction["dominoes"], start=1)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = construction["dominoes"][:num_facts]
        totals = [first + second for first, second in seen]
        steps = [
            f"{first} + {second} = {total}"
            for (first, second), total in zip(seen, totals, strict=True)
        ]
        answer = str(max(totals) - min(totals))
        difference = f"{max(totals)} - {min(totals)} = {answer}"
        return Reasoning(full=", ".join([*steps, difference]), sketch=difference, answer=answer)

    def chance(self, level: int) -> float:
        # Found by counting 40,000 items a level: the share of the commonest difference.
        return (0.31, 0.182, 0.155, 0.165, 0.199)[level]
