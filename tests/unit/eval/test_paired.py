import pytest

from observe_r1.eval.paired import paired_gain, share_from_thinking


def rows(marks: dict[str, list[bool]]) -> list[dict]:
    return [{"sample_id": q, "correct": mark} for q, found in marks.items() for mark in found]


def test_the_gain_is_the_mean_over_questions():
    before = rows({"a": [False, False], "b": [True, False]})
    after = rows({"a": [True, True], "b": [True, False]})
    gain = paired_gain(before, after)
    assert gain.value == pytest.approx(0.5)
    assert gain.num_questions == 2
    assert gain.low < 0.5 < gain.high


def test_only_questions_that_both_answered_count():
    gain = paired_gain(rows({"a": [False]}), rows({"a": [True], "b": [True]}))
    assert (gain.value, gain.num_questions) == (1.0, 1)


def test_a_gain_of_form_alone_is_no_thinking():
    assert share_from_thinking(0.5, 0.6, 1.0, 0.6) == pytest.approx(0.0)


def test_a_gain_at_equal_form_is_all_thinking():
    assert share_from_thinking(0.9, 0.4, 0.9, 0.6) == pytest.approx(1.0)


def test_both_parts_by_hand():
    # 0.8·0.5 = 0.40 → 1.0·0.8 = 0.80; ΔA·mean F = 0.3·0.9 = 0.27 of 0.40
    assert share_from_thinking(0.8, 0.5, 1.0, 0.8) == pytest.approx(0.675)


def test_no_gain_has_no_share():
    assert share_from_thinking(0.9, 0.5, 0.9, 0.5) is None
