"""A puzzle family of your own: used by path, without touching the package.

    from observe_r1.data.puzzles import make_sample
    sample = make_sample("examples/my_puzzle.py:MyPuzzle", seed=0, index=0, level=2)

Run this file to write the picture of one item and print its question and solution.
"""

import random
import sys
from pathlib import Path
from typing import ClassVar

from PIL import Image

from observe_r1.data.puzzles import Family, make_item
from observe_r1.data.puzzles.base import Ask, Axes, Construction, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, blank, draw_cell_lines, draw_shape


class MyPuzzle(Family):
    """Beads on strings: how many beads are on the longest string?"""

    name: ClassVar[str] = "my_puzzle"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"strings": 2, "longest": 3},
        {"strings": 2, "longest": 4},
        {"strings": 3, "longest": 5},
        {"strings": 4, "longest": 6},
        {"strings": 5, "longest": 7},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        longest = rng.randint(1, axes["longest"])
        strings = [rng.randint(0, longest) for _ in range(axes["strings"])]
        strings[rng.randrange(len(strings))] = longest
        return {"strings": strings, "width": axes["longest"]}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        strings = construction["strings"]
        image = blank(construction["width"] * CELL, len(strings) * CELL)
        for row, beads in enumerate(strings):
            for column in range(beads):
                draw_shape(image, "circle", COLOURS["blue"], column * CELL, row * CELL)
        draw_cell_lines(image)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        return Ask(
            question="How many beads are on the longest string?",
            answer=str(max(construction["strings"])),
            kind="number",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"string {number}: {beads}"
            for number, beads in enumerate(construction["strings"], start=1)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = construction["strings"][:num_facts]
        longest = str(max(seen))
        listed = ", ".join(map(str, seen))
        return Reasoning(full=f"the most of {listed} is {longest}", sketch=longest, answer=longest)

    def chance(self, level: int) -> float:
        # The longest string is drawn first, every length equally often.
        return 1 / self.levels[level]["longest"]


def main() -> None:
    level = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    item = make_item(MyPuzzle(), seed=0, index=0, level=level)
    picture = Path("my_puzzle.png")
    item.images()[0].save(picture)
    print(f"{item.question}\n{item.trace().think}\nThe picture is in {picture}.")


if __name__ == "__main__":
    main()
