"""The pictures show what the construction says: read back from the pixels."""

import re
from itertools import product

import pytest

from observe_r1.data.puzzles import Item, get_family, make_item
from observe_r1.data.puzzles.draw import CELL, COLOURS, INK

every_level = pytest.mark.parametrize("level", range(5))


def items(name: str, level: int, num: int = 12) -> list[Item]:
    return [make_item(get_family(name), 11, index, level) for index in range(num)]


@every_level
def test_the_walls_of_a_maze_stand_where_there_is_no_door(level):
    for item in items("maze", level):
        side, doors = item.construction["side"], item.construction["doors"]
        image = item.images()[0]
        for cell in range(side * side):
            row, column = divmod(cell, side)
            middle_x, middle_y = column * CELL + CELL // 2, row * CELL + CELL // 2
            right = image.getpixel(((column + 1) * CELL - 1, middle_y)) == INK
            below = image.getpixel((middle_x, (row + 1) * CELL - 1)) == INK
            assert right == ("right" not in doors[cell])
            assert below == ("down" not in doors[cell])


@every_level
def test_the_way_through_a_maze_goes_through_doors_from_s_to_e(level):
    steps = {"right": 1, "left": -1}
    for item in items("maze", level):
        side, cell = item.construction["side"], item.construction["start"]
        way = (
            item.trace().sketch.split()
            if item.ask.kind == "number"
            else item.ask.answer.split(", ")
        )
        for step in way:
            assert step in item.construction["doors"][cell]
            cell += steps.get(step, side if step == "down" else -side)
        assert cell == item.construction["end"]


@every_level
def test_the_bars_of_a_chart_are_as_high_as_their_values(level):
    for item in items("chart", level):
        image = item.images()[0]
        for bar, value in enumerate(item.construction["values"]):
            x = (bar + 1) * CELL + 14
            column = [image.getpixel((x, y)) for y in range(image.height - CELL + 4)]
            assert sum(colour in COLOURS.values() for colour in column) == value * CELL // 2


@every_level
def test_the_thing_to_locate_has_its_colour_in_the_middle_of_its_box(level):
    for item in items("locate", level):
        (thing,) = [t for t in item.construction["things"] if t[0] == item.construction["target"]]
        _, column, row = thing
        middle = (column * CELL - CELL // 2, row * CELL - CELL // 2)

        assert item.images()[0].getpixel(middle) == COLOURS[item.construction["target"].split()[0]]
        if item.ask.kind == "box":
            left, top, right, bottom = map(int, re.findall("[0-9]+", item.ask.answer))
            assert left < middle[0] < right and top < middle[1] < bottom


@every_level
def test_the_lamp_is_yellow_exactly_in_the_frames_of_its_spell(level):
    for item in items("events", level):
        image, made = item.images()[0], item.construction
        columns = image.width // 56
        lit = [
            image.getpixel((frame % columns * 56 + 41, frame // columns * 56 + 12))
            == COLOURS["yellow"]
            for frame in range(len(made["plate"]))
        ]
        assert lit == [made["first"] <= frame <= made["last"] for frame in range(len(lit))]


def says(fact: str, honest: dict[str, bool]) -> bool:
    """Whether a fact such as "A says B lies" goes with who is honest: an own reading of the text."""
    speaker, said = fact[0], fact.split(" says ")[1]
    if said.endswith("tell the truth"):
        true = sum(honest.values()) == int(said.split()[0])
    elif " and " in said:
        first, second, kind = said[0], said[6], said.split()[-1]
        true = (honest[first] == honest[second]) == (kind == "alike")
    else:
        true = honest[said[0]] == said.endswith("tells the truth")
    return true == honest[speaker]


@every_level
def test_truth_tellers_have_exactly_one_solution(level):
    for item in items("knights", level, 60):
        letters = [fact[0] for fact in item.facts]
        solutions = [
            "".join("T" if value else "L" for value in case)
            for case in product((True, False), repeat=len(letters))
            if all(says(fact, dict(zip(letters, case, strict=True))) for fact in item.facts)
        ]
        assert solutions == [item.ask.answer]


@every_level
def test_the_odd_tile_is_the_only_one_that_no_turn_makes_equal_to_the_others(level):
    for item in items("mirror", level):
        tiles = [tuple(tile) for tile in item.construction["tiles"]]
        shapes = []
        for tile in tiles:
            turns = [tile]
            for _ in range(3):
                turns.append(tuple("".join(row) for row in zip(*turns[-1][::-1], strict=True)))
            shapes.append(min(turns))
        alone = [index for index, shape in enumerate(shapes) if shapes.count(shape) == 1]
        assert alone == [item.construction["odd"]]
