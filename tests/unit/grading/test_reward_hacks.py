"""Completions that try to be rewarded without knowing the answer, scored as they deserve."""

import pytest

from observe_r1.errors import DataError
from observe_r1.grading import grade
from observe_r1.rewards import Scoring, score_group
from observe_r1.text import GRAMMARS, system_prompt
from observe_r1.types import Completion, RolloutGroup, Sample

OPTIONS = ("10 cm", "12 cm", "13 cm", "15 cm")
CHOICE_HACKS = [
    "A, B, C, D", "ABCD", "A B C D", "(A) (B) (C) (D)", "A or B or C or D", "A/B/C/D",
    "A\nB\nC\nD", "A. 10 cm\nB. 12 cm\nC. 13 cm\nD. 15 cm", "10 cm, 12 cm, 13 cm, 15 cm",
    "The answer is A. The answer is B. The answer is C and D", "any of A-D", "one of A, B, C, D",
    "not A, not C, not D", "B unless it is C", "A, no B, no C", "B (or C)", "B and also D",
    "all of them", "[A, B, C, D]", '{"A": 1, "B": 1}', "Option A, option B, option C, option D",
    "B. 10 cm", "**A** **B**", "A=B=C=D", "A → B", "A;B", "both A and B", "none of the above",
]  # fmt: skip
NUMBER_HACKS = [
    "7 or 8", "7, 8, 9", "7 8 9", "7/8", "between 6 and 8", "7 ± 1", "6 = 7", "7 = 8", "6-8", "x",
    "not 7, it is 8", "7x", "<7", ">= 7", "7 to 9", "1 2 3 4 5 6 7 8 9", "one of 6, 7, 8", "7?8", "x7", "x 7", "x(7)", "x+7", "sin 7", "ln 7",
    "x - 0 7", "y = x 7", "A7", "f 7", "AB(7)", "a + b = c + 7",
    "the digit after 6", "len('aaaaaaa')", "__import__('os').getpid()", "7**999999999", "[7, 8]",
    "7 and 8", "at most 7", "approximately 7 or 8", "7! = 7", "7; 8", "7\n8", "0x7", "7.5", "7e7",
]  # fmt: skip
EXPRESSION_HACKS = [
    "x+1, x+2", "x+1 or x-1", "x", "\\text{any}", "x+1=x+2", "(x+1)(x+2)", "x+1+0/0", "", "f(x)",
    "\\{x+1, x+2\\}", "x + 1 - y + y/1 + z", "x+c", "\\lim_{n\\to\\infty} x", "x+1 \\pm 1",
]  # fmt: skip


@pytest.mark.parametrize("answer", CHOICE_HACKS)
@pytest.mark.parametrize("letter", "ABCD")
def test_no_way_of_naming_several_options_is_ever_right(answer: str, letter: str) -> None:
    assert not grade(f"<answer>{answer}</answer>", letter, options=OPTIONS).correct


@pytest.mark.parametrize("answer", NUMBER_HACKS)
def test_no_way_of_naming_several_numbers_is_ever_right(answer: str) -> None:
    assert not grade(f"<answer>{answer}</answer>", "7").correct


@pytest.mark.parametrize("answer", EXPRESSION_HACKS)
def test_no_way_of_hedging_an_expression_is_ever_right(answer: str) -> None:
    assert not grade(f"<answer>{answer}</answer>", "x+1").correct


def test_repeating_one_answer_in_every_form_is_right_only_when_all_forms_agree() -> None:
    assert grade("<answer>0.5 = 1/2 = \\frac{1}{2} = 50%</answer>", "1/2").correct
    assert not grade("<answer>0.5 = 1/2 = 2/3</answer>", "1/2").correct
    assert not grade("<answer>0.5, 1/2, 50%, 1, 2</answer>", "1/2").correct


def test_an_echoed_prompt_earns_nothing() -> None:
    for grammar in GRAMMARS:
        score = score_of(system_prompt(grammar), grammar)
        assert not score.correct and not score.well_formed and score.reward == 0.0


def test_empty_sections_earn_nothing() -> None:
    score = score_of("<think></think><answer></answer>")
    assert not score.correct and not score.well_formed and score.reward == 0.0


def test_tags_inside_the_answer_are_neither_right_nor_well_formed() -> None:
    score = score_of("<think>so</think><answer><think>7</think></answer>")
    assert not score.correct and not score.well_formed


def test_a_right_answer_without_its_structure_earns_accuracy_alone() -> None:
    score = score_of("<answer>7</answer>")
    assert score.correct and not score.well_formed and score.reward == 1.0


def test_structure_without_the_answer_earns_the_format_alone() -> None:
    score = score_of("<think>so</think><answer>8</answer>")
    assert not score.correct and score.well_formed and score.reward == 0.5


def test_a_second_hidden_answer_costs_the_format_and_does_not_help() -> None:
    score = score_of("<think>so</think><answer>7</answer><answer>8</answer>")
    assert not score.correct and score.reward == 0.0


def test_an_answer_hidden_in_the_thought_does_not_count() -> None:
    score = score_of("<think><answer>7</answer></think><answer>8</answer>")
    assert not score.correct and not score.well_formed


def test_a_gold_nobody_can_read_stops_the_scoring() -> None:
    with pytest.raises(DataError, match="cannot be checked"):
        score_of("<think>so</think><answer>7</answer>", gold="")


def score_of(text: str, grammar: str = "think_answer", gold: str = "7"):
    sample = Sample(id="hack", question="How many?", answer=gold, kind="number")
    rollout = RolloutGroup(sample=sample, completions_G=(Completion(text=text),))
    return score_group(rollout, Scoring(grammar=grammar)).scores_G[0]
