"""Comparison: which of two colours (or shapes) is there more of, or are there equally many?"""

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


class Comparison(Family):
    name: ClassVar[str] = "comparison"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"objects": 4, "margin": 3},
        {"objects": 6, "margin": 2},
        {"objects": 8, "margin": 2},
        {"objects": 10, "margin": 1},
        {"objects": 13, "margin": 1},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        words = TRAY_COLOURS if rng.random() < 0.5 else TRAY_SHAPES
        first, second = rng.sample(words, 2)
        # The verdict is drawn first, so that each of the three options is right equally often.
        margin = rng.choice((-1, 0, 1)) * rng.randint(1, axes["margin"])
        few = rng.randint(0, (axes["objects"] - abs(margin)) // 2)
        num_first, num_second = few + max(margin, 0), few + max(-margin, 0)
        others = axes["objects"] - num_first - num_second
        things = [_with(rng, first) for _ in range(num_first)]
        things += [_with(rng, second) for _ in range(num_second)]
        things += [_without(rng, first, second) for _ in range(others)]
        return {"tray": fill_tray(rng, things), "first": first, "second": second}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        return (draw_tray(construction["tray"]),)

    def ask(self, construction: Construction) -> Ask:
        first, second = construction["first"], construction["second"]
        tray = rows(construction["tray"])
        return Ask(
            question=f"Are there more {_noun(first)} or more {_noun(second)}?",
            answer=_verdict(_count(tray, first), _count(tray, second)),
            kind="choice",
            options=(first, second, "equal"),
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return describe_rows(construction["tray"])

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = rows(construction["tray"])[:num_facts]
        words = construction["first"], construction["second"]
        counts = [_count(seen, word) for word in words]
        parts = [
            f"{word} {count_along(seen, lambda cell, word=word: word in cell)} = {count}"
            for word, count in zip(words, counts, strict=True)
        ]
        first, second = counts
        sign = "=" if first == second else ">" if first > second else "<"
        return Reasoning(
            full=f"{', '.join(parts)}, {first} {sign} {second}",
            sketch=f"{words[0]} {first}, {words[1]} {second}",
            answer=_verdict(first, second),
        )

    def chance(self, level: int) -> float:
        return 1 / 3


def _noun(word: str) -> str:
    return f"{word} shapes" if word in TRAY_COLOURS else plural(word)


def _with(rng: random.Random, word: str) -> str:
    if word in TRAY_COLOURS:
        return f"{word} {rng.choice(TRAY_SHAPES)}"
    return f"{rng.choice(TRAY_COLOURS)} {word}"


def _without(rng: random.Random, first: str, second: str) -> str:
    while (thing := random_thing(rng)) and (first in thing or second in thing):
        pass
    return thing


def _count(seen: Sequence[Sequence[str]], word: str) -> int:
    return sum(word in cell for row in seen for cell in row)


def _verdict(first: int, second: int) -> str:
    return "A" if first > second else "B" if second > first else "C"
