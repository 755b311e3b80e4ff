"""A user's family by path: what works and what each mistake is told."""

import pytest

from observe_r1.data.puzzles import get_family, make_sample
from observe_r1.errors import ConfigError


def test_a_family_in_a_file_makes_samples_like_a_built_in_one():
    sample = make_sample("examples/my_puzzle.py:MyPuzzle", seed=1, index=2, level=3)

    assert sample.family == "my_puzzle"
    assert sample.id == "puzzles-my_puzzle-3-1-2"
    assert len(sample.images) == 1


def test_an_unknown_name_lists_the_known_ones_and_says_how_to_name_ones_own():
    with pytest.raises(ConfigError, match=r"no puzzle named 'mazes'.*counting.*file\.py:ClassName"):
        get_family("mazes")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .*absent\.py"):
        get_family(f"{tmp_path / 'absent.py'}:Anything")


def test_a_missing_class_lists_the_families_of_the_file():
    with pytest.raises(ConfigError, match=r"no class named 'MyMaze'.*MyPuzzle"):
        get_family("examples/my_puzzle.py:MyMaze")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("class Mine:\n    pass\n", "not a complete puzzle family"),
        (
            "from observe_r1.data.puzzles import Family\nclass Mine(Family):\n    pass\n",
            "not a complete",
        ),
        ("def broken(:\n", "could not be run: SyntaxError"),
        ("raise RuntimeError('no data here')\n", "could not be run: RuntimeError: no data here"),
    ],
)
def test_a_file_that_cannot_serve_says_why(tmp_path, body, message):
    file = tmp_path / "mine.py"
    file.write_text(body)

    with pytest.raises(ConfigError, match=message):
        get_family(f"{file}:Mine")
