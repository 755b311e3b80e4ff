"""The faults of the authors' released checker and format rule (B6 to B16), each shown to be absent."""

import pytest

from observe_r1.errors import DataError
from observe_r1.grading import check_gold, grade
from observe_r1.text import parse_response
from pace import times_as_long


def is_right(answer: str, gold: str, **settings: object) -> bool:
    return grade(f"<answer>{answer}</answer>", gold, **settings).correct  # type: ignore[arg-type]


def well_formed(text: str, grammar: str = "observe_think_answer") -> bool:
    return parse_response(text, grammar).well_formed


def test_b6_tight_answers_are_read_without_their_tags() -> None:
    assert is_right("3.0", "3")
    assert is_right("3 cm", "3")
    assert is_right("1/4", "\\frac{1}{4}") and is_right("0.25", "\\frac{1}{4}")
    assert is_right("1,000", "1000")
    assert is_right("120", "120°")


def test_b7_the_value_that_was_parsed_is_the_one_compared() -> None:
    assert is_right("$\\frac{6}{4}$", "1.5")
    assert not is_right("$\\frac{6}{5}$", "1.5")


@pytest.mark.parametrize("gold", ["E", "F", "G", "(B)", "yes", "red", "3"])
def test_b8_no_gold_makes_every_answer_right(gold: str) -> None:
    assert not is_right("zebra 17", gold)
    assert is_right(gold, gold)


@pytest.mark.parametrize("gold", ["", "  ", "$$", None, [], b"3"])
def test_b8_a_gold_that_cannot_be_checked_is_an_error_and_never_a_reward(gold: object) -> None:
    with pytest.raises(DataError, match="cannot be checked"):
        check_gold(gold)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be checked"):
        grade("<answer>3</answer>", gold)  # type: ignore[arg-type]


def test_b8_a_numeric_gold_that_is_no_text_is_graded_as_its_text() -> None:
    assert is_right("3", 3)  # type: ignore[arg-type]
    assert not is_right("4", 3)  # type: ignore[arg-type]


def test_b9_the_verdict_on_inequalities_does_not_hang_on_the_order_of_arguments() -> None:
    assert is_right("[2,\\infty)", "m \\ge 2")
    assert is_right("m \\ge 2", "[2,\\infty)")
    assert not is_right("m > 2", "[2,\\infty)")


def test_b10_letters_are_tokens_and_never_substrings() -> None:
    for gold, answer in (("A", "Many"), ("A", "gray"), ("B", "big"), ("C", "city"), ("D", "dog")):
        assert not is_right(answer, gold), answer
    assert is_right("The answer is: A", "A")
    assert is_right("A. cube", "A")


def test_b11_the_last_answer_counts_over_several_lines_and_nothing_outside_it() -> None:
    assert not grade("<answer>\n7\n</answer> text 3", "3").correct
    assert grade("<answer>\n3\n</answer> text 7", "3").correct
    assert not grade("<answer>3</answer><answer>4</answer>", "3").correct
    assert not grade("the last number is 3", "3").correct


def test_b12_every_part_of_a_gold_must_be_answered() -> None:
    assert not is_right("142.67", "1228 142.67")
    assert is_right("1228, 142.67", "1228 142.67")


def test_b13_rounding_units_and_percent_are_understood() -> None:
    assert is_right("23.16", "23.2")
    assert is_right("23.2 cm", "23.2")
    assert is_right("25%", "0.25")


V1 = "<observe>a square</observe><think>so three</think><answer>3</answer>"
V2 = "<think>first <observe>a square</observe> so three</think><answer>3</answer>"


def test_b14_tags_are_unique_in_both_variants() -> None:
    assert well_formed(V1) and well_formed(V2, "think_observe_answer")
    assert not well_formed(V2 + V2, "think_observe_answer")
    assert not well_formed(V2 + "<answer>4</answer>", "think_observe_answer")
    assert not well_formed(V1.replace("so three", "so <observe>three</observe>"))


def test_b15_sections_are_not_blank_and_nothing_stands_around_them() -> None:
    assert not well_formed(V1.replace("a square", " \n "))
    assert not well_formed(V1.replace("a square", "\u200b"))
    assert not well_formed("junk " + V1)
    assert not well_formed(V1 + " junk")
    first = "<think><observe>a square</observe> so three</think><answer>3</answer>"
    last = "<think>look: <observe>a square</observe></think><answer>3</answer>"
    assert well_formed(first, "think_observe_answer") and well_formed(last, "think_observe_answer")


def test_b16_four_times_as_many_tags_take_four_times_as_long() -> None:
    for piece in ("<think>", "<", "<observe><think><answer>", "</answer>"):
        small, large = (piece * (size // len(piece)) for size in (250_000, 1_000_000))
        assert not well_formed(large)
        assert times_as_long(well_formed, small, large) < 10  # were it quadratic, 16
