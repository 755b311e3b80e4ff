"""Truth-tellers: each tile says something about the tiles, and is true or a lie. Which is which?

    A says  B ✗        B lies
    B says  A = C      A and C are of one kind
    C says  ✓ 2        exactly two tiles tell the truth

The liars' and truth-tellers' places are drawn first, then statements until they have one solution.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, FAINT, INK, PAPER, blank, draw_text

_WIDTH = 4 * CELL
Statement = Sequence[str | int]
"""Example: ``["lies", 1]``, ``["honest", 0]``, ``["same", 0, 2]``, ``["count", 2]``."""


class Knights(Family):
    name: ClassVar[str] = "knights"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"tiles": 2, "statement_forms": 4},
        {"tiles": 3, "statement_forms": 4},
        {"tiles": 3, "statement_forms": 5},
        {"tiles": 4, "statement_forms": 5},
        {"tiles": 5, "statement_forms": 5},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        num_tiles = axes["tiles"]
        truth = [rng.random() < 0.5 for _ in range(num_tiles)]
        while True:
            statements = [
                _say(rng, speaker, truth, axes["statement_forms"]) for speaker in range(num_tiles)
            ]
            if len(list(_solutions(statements, num_tiles))) == 1:
                return {"statements": statements}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        statements = construction["statements"]
        image = blank(_WIDTH, max(4, len(statements)) * CELL)
        pen = ImageDraw.Draw(image)
        for speaker, statement in enumerate(statements):
            top = speaker * CELL
            pen.rectangle((2, top + 2, CELL - 3, top + CELL - 3), fill=INK)
            draw_text(image, _letter(speaker), 9, top + 7, 2, PAPER)
            for place, sign in enumerate(_signs(statement).split(), start=1):
                colour = {"✓": COLOURS["green"], "✗": COLOURS["red"]}.get(sign, INK)
                draw_text(image, sign, place * CELL + 7, top + 4, 3, colour)
            pen.line((0, top + CELL - 1, _WIDTH, top + CELL - 1), fill=FAINT)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        num_tiles = len(construction["statements"])
        (solution,) = _solutions(construction["statements"], num_tiles)
        return Ask(
            question=(
                "Each tile tells the truth or lies. A letter with a tick says that this tile tells "
                "the truth, with a cross that it lies; = says that two tiles are of one kind, a "
                "crossed = that they are not; a tick with a number says how many tell the truth. "
                f"Write T or L for the tiles A to {_letter(num_tiles - 1)} in order, such as "
                f"{('TLLTL')[:num_tiles]}."
            ),
            answer=_write(solution),
            kind="text",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(
            f"{_letter(speaker)} says {_words(statement)}"
            for speaker, statement in enumerate(construction["statements"])
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen, num_tiles = construction["statements"][:num_facts], len(construction["statements"])
        steps, answer = [], ""
        for case in product((True, False), repeat=num_tiles):
            wrong = _first_wrong(seen, case)
            if wrong is None:
                answer = _write(case)
                steps.append(f"{answer} fits")
                break
            steps.append(f"{_write(case)} fails at {_letter(wrong)}")
        return Reasoning(full=", ".join(steps), sketch=steps[-1], answer=answer)

    def chance(self, level: int) -> float:
        # Every tile is a liar half of the time, whatever the others are.
        return 0.5 ** self.levels[level]["tiles"]

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        right = self.ask(construction).answer
        return tuple(
            right[:tile] + ("L" if kind == "T" else "T") + right[tile + 1 :]
            for tile, kind in enumerate(right)
        )


def _say(rng: random.Random, speaker: int, truth: list[bool], num_forms: int) -> list[str | int]:
    """A statement that is true exactly when its speaker is honest."""
    tiles = range(len(truth))
    while True:
        form = rng.choice(("honest", "lies", "same", "different", "count")[:num_forms])
        if form == "count":
            statement: list[str | int] = [form, rng.randint(0, len(truth))]
        elif form in ("honest", "lies"):
            statement = [form, rng.choice([tile for tile in tiles if tile != speaker])]
        else:
            statement = [form, *sorted(rng.sample(tiles, 2))]
        if _holds(statement, truth) == truth[speaker]:
            return statement


def _holds(statement: Statement, truth: Sequence[bool]) -> bool:
    form, *tiles = statement
    if form == "count":
        return sum(truth) == tiles[0]
    kinds = [truth[int(tile)] for tile in tiles]
    if len(kinds) == 1:
        return kinds[0] == (form == "honest")
    return (kinds[0] == kinds[1]) == (form == "same")


def _solutions(statements: Sequence[Statement], num_tiles: int) -> Iterator[tuple[bool, ...]]:
    for case in product((True, False), repeat=num_tiles):
        if _first_wrong(statements, case) is None:
            yield case


def _first_wrong(statements: Sequence[Statement], case: Sequence[bool]) -> int | None:
    """The first tile whose statement does not go with its kind."""
    for speaker, statement in enumerate(statements):
        if _holds(statement, case) != case[speaker]:
            return speaker
    return None


def _signs(statement: Statement) -> str:
    form, *tiles = statement
    if form == "count":
        return f"✓ {tiles[0]}"
    letters = [_letter(int(tile)) for tile in tiles]
    if len(letters) == 1:
        return f"{letters[0]} {'✓' if form == 'honest' else '✗'}"
    return f"{letters[0]} {'=' if form == 'same' else '≠'} {letters[1]}"


def _words(statement: Statement) -> str:
    form, *tiles = statement
    if form == "count":
        return f"{tiles[0]} tell the truth"
    letters = [_letter(int(tile)) for tile in tiles]
    if len(letters) == 1:
        return f"{letters[0]} tells the truth" if form == "honest" else f"{letters[0]} lies"
    return f"{letters[0]} and {letters[1]} are {'alike' if form == 'same' else 'different'}"


def _write(case: Sequence[bool]) -> str:
    return "".join("T" if honest else "L" for honest in case)


def _letter(tile: int) -> str:
    return chr(ord("A") + tile)
