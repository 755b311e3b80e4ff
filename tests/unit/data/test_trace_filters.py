"""Which traces are kept."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from observe_r1.data.trace_filters import AnyFilter, apply_filters, repeated_share
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError

GOOD = "<think>2 + 1 = 3</think>\n<answer>3</answer>"


def row(question: str = "q", response: str = GOOD, **known: Any) -> TraceRow:
    return TraceRow(sample_id=question, response=response, grammar="think_answer", **known)


def kept(rule: dict[str, Any], *rows: TraceRow) -> list[bool]:
    return TypeAdapter(AnyFilter).validate_python(rule).kept(TraceSet(rows, {}))


def test_gold():
    rows = (row(correct=True), row(correct=False))
    assert kept({"type": "gold"}, *rows) == [True, False]
    assert kept({"type": "gold", "correct": False}, *rows) == [False, True]
    with pytest.raises(DataError, match="needs traces that were graded"):
        kept({"type": "gold"}, row())


def test_well_formed_follows_its_own_grammar_and_was_not_cut_off():
    assert kept({"type": "well_formed"}, row(), row(truncated=True), row(response="3")) == [
        True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("measure", ["length", "perplexity"])
def test_limits_count_as_within(measure: str):
    field = {"length": "num_tokens", "perplexity": "perplexity"}[measure]
    rows = [row(**{field: value}) for value in (1, 2, 3, 4)]
    assert kept({"type": measure, "least": 2, "most": 3}, *rows) == [False, True, True, False]
    assert kept({"type": measure, "least": 2}, *rows) == [False, True, True, True]
    with pytest.raises(DataError, match=f"the filter '{measure}' needs"):
        kept({"type": measure}, row())


def test_repetition():
    assert repeated_share("a b a b a b", 2) == pytest.approx(0.6)
    assert repeated_share("a b c", 4) == 0.0
    looping = "let me check " * 10
    assert kept({"type": "repetition"}, row(), row(response=looping)) == [True, False]


@pytest.mark.parametrize(
    ("thought", "answer", "expected"),
    [
        ("1: two. 2: one. 2 + 1 = 3", "3", True),
        ("1: two. 2: one. So there are 3.", "3", True),
        ("3 are red. So there are 4.", "3", False),
        ("it makes 13", "3", False),
        ("the larger is B", "b", True),
    ],
)
def test_the_reasoning_ends_in_the_answer(thought: str, answer: str, expected: bool):
    text = f"<think>{thought}</think><answer>{answer}</answer>"
    assert kept({"type": "consistent"}, row(response=text)) == [expected]


def test_reasoning_without_an_answer_is_not_consistent():
    assert kept({"type": "consistent"}, row(response="<think>3</think>")) == [False]


def test_patterns():
    rows = (row(), row(response="好的 3"))
    assert kept({"type": "pattern", "pattern": r"[\u4e00-\u9fff]"}, *rows) == [True, False]
    assert kept({"type": "pattern", "pattern": "think", "present": True}, *rows) == [True, False]
    with pytest.raises(ValueError, match="is no regular expression"):
        kept({"type": "pattern", "pattern": "("})


def test_duplicates_of_a_question_count_once():
    rows = (row("a", "x  y"), row("a", "x y"), row("b", "x y"), row("a", "z"))
    assert kept({"type": "duplicates"}, *rows) == [True, False, True, True]


def test_the_best_of_each_question():
    rows = [
        row("a", num_tokens=5, perplexity=2.0), row("a", num_tokens=3, perplexity=9.0),
        row("b", num_tokens=7, perplexity=4.0), row("a", num_tokens=3, perplexity=1.0),
    ]  # fmt: skip
    assert kept({"type": "best"}, *rows) == [False, True, True, False]
    highest = {"type": "best", "by": "perplexity", "highest": True}
    assert kept(highest, *rows) == [False, True, True, False]
    assert kept({"type": "best", "per_question": 2}, *rows) == [False, True, True, True]
    assert kept({**highest, "per_question": None, "count": 1}, *rows) == [False, True, False, False]
    assert kept({"type": "best", "by": "order"}, *rows) == [True, False, True, False]


def test_filters_follow_each_other_and_are_counted():
    rules = TypeAdapter(tuple[AnyFilter, ...]).validate_python(
        [{"type": "gold"}, {"type": "best"}, {"type": "duplicates"}]
    )
    rows = (
        row("a", correct=False, num_tokens=1), row("a", correct=True, num_tokens=2),
        row("a", correct=True, num_tokens=3),
    )  # fmt: skip
    found = apply_filters(TraceSet(rows, {}), rules)
    assert [row.num_tokens for row in found.kept.rows] == [2]
    assert found.left_out == {"gold": 1, "best": 1, "duplicates": 0}
    assert str(found) == "gold left out 1, best left out 1, duplicates left out 0, 1 kept"
