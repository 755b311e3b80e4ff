"""Answers of single families, worked out by hand from a written construction."""

from observe_r1.data.puzzles import PUZZLES


def answer(name: str, **construction: object) -> str:
    return PUZZLES[name].ask(construction).answer


def test_dominoes_takes_the_smallest_total_from_the_largest():
    assert answer("dominoes", places=[0, 1, 2], dominoes=[[3, 5], [1, 1], [6, 3]]) == "7"


def test_chart_reads_compares_and_adds():
    values = [4, 9, 2]

    assert answer("chart", values=values, asked=[1], operation="read") == "9"
    assert answer("chart", values=values, asked=[1, 2], operation="more") == "7"
    assert answer("chart", values=values, asked=[0, 1, 2], operation="sum") == "15"


def test_chart_takes_a_bar_that_was_not_looked_at_for_the_last_one_that_was():
    construction = {"values": [4, 9, 2], "asked": [0, 2], "operation": "sum"}

    assert PUZZLES["chart"].conclude(construction, 2).answer == "13"


def test_clock_goes_past_twelve_in_both_directions():
    assert answer("clock", shown=11 * 60 + 50, shift=25) == "12:15"
    assert answer("clock", shown=10, shift=-15) == "11:55"
    assert answer("clock", shown=65, shift=0) == "1:05"


def test_maze_knows_the_way_and_its_length():
    # S . |      the wall stands right of the middle of the upper row
    # . . E
    doors = [["right", "down"], ["down", "left"], ["down"], ["right", "up"],
             ["right", "left", "up"], ["left", "up"]]  # fmt: skip
    maze = {"side": 3, "doors": [*doors, [], [], []], "start": 1, "end": 5}

    assert answer("maze", **maze, asked="way") == "down, right"
    assert answer("maze", **maze, asked="length") == "2"


def test_mirror_finds_the_odd_one_also_when_it_is_the_first():
    hook, turned, mirrored = ["xx-", "x--", "x--"], ["xxx", "--x", "---"], ["-xx", "--x", "--x"]
    last = {"tiles": [hook, turned, mirrored], "odd": 2}
    first = {"tiles": [mirrored, hook, turned], "odd": 0}

    assert PUZZLES["mirror"].conclude(last, 3).answer == "C"
    assert PUZZLES["mirror"].conclude(first, 3).answer == "A"


def test_geometry_writes_fractions_and_multiples_of_pi():
    assert answer("geometry", shapes=[["triangle", 3, 5]]) == "\\frac{15}{2}"
    assert answer("geometry", shapes=[["circle", 1]]) == "\\pi"
    assert answer("geometry", shapes=[["semicircle", 3], ["rectangle", 2, 6]]) == (
        "12 + \\frac{9}{2}\\pi"
    )
    assert answer("geometry", shapes=[["square with a round hole", 6, 2]]) == "36 - 4\\pi"
    assert answer("geometry", shapes=[["square with a round hole", 4, 1], ["circle", 1]]) == "16"


def test_knights_have_one_solution_and_a_careless_solver_believes_everyone():
    # A: B lies. B: A and B are different. Truth-teller B would make A a liar, as A is: TT and LL fail.
    statements = [["lies", 1], ["different", 0, 1]]

    assert answer("knights", statements=statements) == "LT"
    assert PUZZLES["knights"].conclude({"statements": statements}, 1).answer == "TL"


def test_events_tell_when_and_what():
    strip = {"plate": ["", "red star", "", ""], "floor": ["", "", "blue circle", ""]}

    assert answer("events", **strip, first=2, last=3, asked="when") == "2-4"
    assert answer("events", **strip, first=2, last=3, asked="cause") == "red star"


def test_panels_name_the_picture_with_the_wanted_number():
    pictures = [["red circle", "", "blue cross"], ["red cross", "red circle", ""]]

    assert answer("panels", pictures=pictures, word="red", wanted=2) == "B"
    assert answer("panels", pictures=pictures, word="cross", wanted=1) == "A"


def test_locate_counts_squares_from_one_and_pixels_from_the_corner():
    tray = {"side": 4, "things": [["red star", 2, 3]], "target": "red star"}

    assert answer("locate", **tray, asked="point") == "(2, 3)"
    assert answer("locate", **tray, asked="box") == "[32, 60, 52, 80]"
