import pytest

from observe_r1.data.puzzles import get_family, held_out
from observe_r1.data.puzzles.split import split_of, stream
from observe_r1.errors import DataError


def test_more_held_out_puzzles_than_there_are_is_refused_with_their_number():
    with pytest.raises(DataError, match=r"only 9: .*Ask for fewer, for more levels"):
        held_out(10, ("arithmetic",), (0,))


def test_all_that_there_are_can_be_had_and_are_different():
    puzzles = held_out(9, ("arithmetic",), (0,))

    assert len({(puzzle.question, puzzle.images) for puzzle in puzzles}) == 9
    assert {puzzle.metadata["puzzle_level"] for puzzle in puzzles} == {0}


def test_no_held_out_puzzle_is_in_a_training_stream():
    training = stream([get_family("arithmetic")], seed=5, split="train")
    drawn = [next(training) for _ in range(400)]
    kept = {(puzzle.question, puzzle.images) for puzzle in held_out(9, ("arithmetic",), (0,))}

    assert {split_of(item) for item in drawn} == {"train"}
    assert not kept & {(s.question, s.images) for s in (i.sample() for i in drawn)}
