import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe_r1.eval.intervals import effective_answers, share_of, wilson


def test_wilson_of_half_of_ten():
    low, high = wilson(0.5, 10)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))


def test_wilson_stays_inside_0_and_1_at_the_ends():
    assert wilson(0.0, 5)[0] == 0.0
    assert wilson(1.0, 5)[1] == 1.0
    assert 0.5 < wilson(0.0, 5)[1] + 0.1 < 0.6  # 0.434: five misses do not prove zero


def test_one_answer_a_question_is_plain_wilson():
    counts = [(1, 1)] * 30 + [(0, 1)] * 70
    share = share_of(counts)
    low, high = wilson(0.3, 100)
    assert share.value == pytest.approx(0.3)
    assert share.low == pytest.approx(low, abs=2e-3)
    assert share.high == pytest.approx(high, abs=2e-3)


def test_equal_answers_to_one_question_count_once():
    # Ten questions, eight equal answers each: worth about ten answers, not eighty.
    counts = [(8, 8)] * 5 + [(0, 8)] * 5
    assert effective_answers(counts, 0.5, 80) == pytest.approx(9.0)


def test_independent_answers_count_fully():
    # Every question has exactly its share right, so questions do not differ at all.
    assert effective_answers([(4, 8)] * 10, 0.5, 80) == 80.0


def test_nothing_counted_is_none_not_zero():
    share = share_of([(0, 0)])
    assert share.value is None
    assert share.num_answers == 0


def test_questions_without_answers_are_not_wrong_answers():
    assert share_of([(1, 1), (0, 0)]).value == 1.0


@given(st.lists(st.integers(0, 6).flatmap(lambda t: st.tuples(st.integers(0, t), st.just(t)))))
def test_the_interval_always_holds_the_share(counts):
    share = share_of(counts)
    if share.value is not None:
        assert share.low - 1e-12 <= share.value <= share.high + 1e-12
        assert 0.0 <= share.low <= share.high <= 1.0
