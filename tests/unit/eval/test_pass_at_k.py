from itertools import combinations

import pytest

from observe_r1.eval.pass_at_k import majority_is_right, pass_at_k, powers_of_two


@pytest.mark.parametrize("right", range(6))
@pytest.mark.parametrize("k", range(1, 6))
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(right, k):
    answers = [True] * right + [False] * (5 - right)
    draws = list(combinations(answers, k))
    assert pass_at_k(right, 5, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_more_draws_than_answers_are_refused():
    with pytest.raises(ValueError, match="k is 3, but there are 2 answers"):
        pass_at_k(1, 2, 3)


def test_the_most_frequent_answer_wins():
    assert majority_is_right(["3", "3", "4"], [True, True, False]) == 1.0
    assert majority_is_right(["3", "4", "4"], [True, False, False]) == 0.0


def test_right_answers_count_together_however_they_are_written():
    assert majority_is_right(["1/2", "0.5", "3", "3 "], [True, True, False, False]) == 0.5
    assert (
        majority_is_right(["1/2", "0.5", "\\frac12", "3", "3 "], [True, True, True, False, False])
        == 1.0
    )


def test_no_answer_does_not_vote():
    assert majority_is_right([None, None, "3"], [False, False, True]) == 1.0
    assert majority_is_right([None, None], [False, False]) == 0.0


def test_powers_of_two_end_with_the_limit():
    assert powers_of_two(8) == [1, 2, 4, 8]
    assert powers_of_two(6) == [1, 2, 4, 6]
    assert powers_of_two(1) == [1]
