"""Rendered arithmetic: read the sums on the tray, one in each row, and combine the results.

3 + 5 _
7 - 2 _      "Add up the results of the rows."
9 + 9 _
"""

import random
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, blank, draw_cell_lines, draw_glyph_cell

_SIDE = 4


class Arithmetic(Family):
    name: ClassVar[str] = "arithmetic"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"rows": 1, "largest": 5},
        {"rows": 2, "largest": 5},
        {"rows": 2, "largest": 9},
        {"rows": 3, "largest": 9},
        {"rows": 4, "largest": 9},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        sums = []
        for _ in range(axes["rows"]):
            first, second = (rng.randint(0, axes["largest"]) for _ in range(2))
            sign = rng.choice("+-")
            if sign == "-" and second > first:
                first, second = second, first
            sums.append([first, sign, second])
        return {"sums": sums}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        image = blank(_SIDE * CELL, _SIDE * CELL)
        for row, (first, sign, second) in enumerate(construction["sums"]):
            for column, sign_or_digit in enumerate((first, sign, second)):
                draw_glyph_cell(image, str(sign_or_digit), column * CELL, row * CELL)
        draw_cell_lines(image)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        total = sum(_result(*parts) for parts in construction["sums"])
        return Ask(
            question="Work out each row. What do the results add up to?",
            answer=str(total),
            kind="number",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"{number}: {first} {sign} {second}"
            for number, (first, sign, second) in enumerate(construction["sums"], start=1)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = construction["sums"][:num_facts]
        results = [_result(*parts) for parts in seen]
        steps = [
            f"{first} {sign} {second} = {result}"
            for (first, sign, second), result in zip(seen, results, strict=True)
        ]
        running = results[0]
        for result in results[1:]:
            steps.append(f"{running} + {result} = {running + result}")
            running += result
        sketch = f"{' + '.join(map(str, results))} = {running}"
        return Reasoning(full=", ".join(steps), sketch=sketch, answer=str(running))

    def chance(self, level: int) -> float:
        # Found by counting 40,000 items a level: the share of the commonest answer.
        return (0.168, 0.108, 0.062, 0.052, 0.045)[level]


def _result(first: int, sign: str, second: int) -> int:
    return first + second if sign == "+" else first - second
