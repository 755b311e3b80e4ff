"""Panels: several pictures; which of them holds a given number of things?"""

import random
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.grid import TRAY_COLOURS, TRAY_SHAPES, draw_tray, fill_tray, plural

_SIDE = 3


class Panels(Family):
    name: ClassVar[str] = "panels"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"pictures": 2, "objects": 3, "most": 2},
        {"pictures": 3, "objects": 4, "most": 2},
        {"pictures": 4, "objects": 5, "most": 3},
        {"pictures": 5, "objects": 6, "most": 4},
        {"pictures": 6, "objects": 8, "most": 5},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        word = rng.choice(TRAY_COLOURS + TRAY_SHAPES)
        wanted = rng.randint(0, axes["most"])
        odd = rng.randrange(axes["pictures"])
        others = [count for count in range(axes["most"] + 1) if count != wanted]
        pictures = [
            _fill(rng, word, wanted if picture == odd else rng.choice(others), axes["objects"])
            for picture in range(axes["pictures"])
        ]
        return {"pictures": pictures, "word": word, "wanted": wanted}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        return tuple(draw_tray(cells, _SIDE) for cells in construction["pictures"])

    def ask(self, construction: Construction) -> Ask:
        word, counts = construction["word"], _counts(construction)
        noun = f"{word} shapes" if word in TRAY_COLOURS else plural(word)
        wanted = construction["wanted"]
        number = f"exactly {wanted}" if wanted else "no"
        return Ask(
            question=f"Which picture has {number} {noun}?",
            answer=chr(ord("A") + counts.index(wanted)),
            kind="choice",
            options=tuple(f"picture {number}" for number in range(1, len(counts) + 1)),
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"{number}: {', '.join(thing for thing in cells if thing)}"
            for number, cells in enumerate(construction["pictures"], start=1)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        counts, wanted = _counts(construction)[:num_facts], construction["wanted"]
        steps = [f"picture {number} has {count}" for number, count in enumerate(counts, start=1)]
        # When no picture that was looked at fits, it must be one of the others: the next.
        found = counts.index(wanted) if wanted in counts else len(counts)
        answer = chr(ord("A") + found)
        sketch = f"{' '.join(map(str, counts))}, so picture {found + 1}"
        return Reasoning(
            full=", ".join([*steps, f"so picture {found + 1}"]), sketch=sketch, answer=answer
        )

    def chance(self, level: int) -> float:
        return 1 / self.levels[level]["pictures"]


def _fill(rng: random.Random, word: str, matching: int, objects: int) -> list[str]:
    """Nine cells with so many things, of which ``matching`` go with the word."""
    kinds = [f"{colour} {shape}" for colour in TRAY_COLOURS for shape in TRAY_SHAPES]
    fitting = [kind for kind in kinds if word in kind.split()]
    others = [kind for kind in kinds if word not in kind.split()]
    things = [rng.choice(fitting if n < matching else others) for n in range(objects)]
    return fill_tray(rng, things, _SIDE)


def _counts(construction: Construction) -> list[int]:
    word = construction["word"]
    return [sum(word in thing.split() for thing in cells) for cells in construction["pictures"]]
