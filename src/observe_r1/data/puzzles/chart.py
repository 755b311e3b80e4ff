"""Bar chart: read a bar, compare two, or add up several."""

import random
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, FAINT, INK, blank, draw_text

_TALLEST = 10
_UNIT = CELL // 2
_BAR_COLOURS = ("red", "blue", "green", "orange", "purple")


class Chart(Family):
    name: ClassVar[str] = "chart"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"bars": 3, "terms": 1},
        {"bars": 5, "terms": 1},
        {"bars": 4, "terms": 2},
        {"bars": 7, "terms": 2},
        {"bars": 7, "terms": 3},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        values = [rng.randint(1, _TALLEST) for _ in range(axes["bars"])]
        asked = sorted(rng.sample(range(axes["bars"]), axes["terms"]))
        operation = {1: "read", 2: rng.choice(("more", "sum")), 3: "sum"}[axes["terms"]]
        if operation == "more":
            # Two different heights, so that one bar is the taller.
            values[asked[0]], values[asked[1]] = rng.sample(range(1, _TALLEST + 1), 2)
            asked.sort(key=lambda bar: -values[bar])
        return {"values": values, "asked": asked, "operation": operation}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        values = construction["values"]
        image = blank((len(values) + 1) * CELL, (_TALLEST * _UNIT) + CELL)
        pen, floor = ImageDraw.Draw(image), _TALLEST * _UNIT + 4
        for height in range(_TALLEST + 1):
            y = floor - height * _UNIT
            pen.line((CELL, y, image.width - 1, y), fill=INK if height == 0 else FAINT)
            if height and height % 2 == 0:
                draw_text(image, f"{height:>2}", 2, y - (2 if height == _TALLEST else 7))
        for bar, value in enumerate(values):
            left = (bar + 1) * CELL
            colour = COLOURS[_BAR_COLOURS[bar % len(_BAR_COLOURS)]]
            pen.rectangle((left + 6, floor - value * _UNIT, left + 21, floor - 1), fill=colour)
            draw_text(image, _letter(bar), left + 9, floor + 5)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        letters = [_letter(bar) for bar in construction["asked"]]
        question = {
            "read": f"How high is bar {letters[0]}?",
            "more": f"By how much is bar {letters[0]} higher than bar {letters[-1]}?",
            "sum": f"How much do the bars {', '.join(letters[:-1])} and {letters[-1]} add up to?",
        }[construction["operation"]]
        heights = [construction["values"][bar] for bar in construction["asked"]]
        answer, _ = _combine(construction["operation"], heights)
        return Ask(question=question, answer=answer, kind="number")

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(f"{_letter(bar)}: {value}" for bar, value in enumerate(construction["values"]))

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = construction["values"][:num_facts]
        # A bar that was not looked at is taken to be as high as the last one that was.
        heights = [seen[min(bar, len(seen) - 1)] for bar in construction["asked"]]
        reads = [
            f"{_letter(bar)} is {height}" if bar < len(seen) else f"{_letter(bar)} about {height}"
            for bar, height in zip(construction["asked"], heights, strict=True)
        ]
        answer, working = _combine(construction["operation"], heights)
        steps = reads if construction["operation"] == "read" else [*reads, working]
        return Reasoning(full=", ".join(steps), sketch=working, answer=answer)

    def chance(self, level: int) -> float:
        # Found by counting 40,000 items a level: the commonest answer to each form of question.
        return (0.1, 0.1, 0.15, 0.15, 0.074)[level]


def _letter(bar: int) -> str:
    return chr(ord("A") + bar)


def _combine(operation: str, heights: list[int]) -> tuple[str, str]:
    """The result and how it is worked out."""
    if operation == "read":
        return str(heights[0]), str(heights[0])
    sign = "-" if operation == "more" else "+"
    result = heights[0] - heights[1] if operation == "more" else sum(heights)
    return str(result), f"{f' {sign} '.join(map(str, heights))} = {result}"
