import math

import pytest

from observe_r1.data.difficulty import (
    ProbedCompletion,
    beta_cdf,
    level_of,
    measure_difficulty,
    solve_rate_interval,
)


def completion(answer: str | None, correct: bool, num_tokens: int = 10, truncated: bool = False):
    return ProbedCompletion(
        text="", answer=answer, correct=correct, num_tokens=num_tokens, truncated=truncated
    )


def test_with_eight_rollouts_the_level_is_the_number_of_wrong_ones():
    assert [level_of(k, 8) for k in range(9)] == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_few_rollouts_never_reach_the_two_end_levels():
    assert level_of(4, 4) == 1
    assert level_of(0, 4) == 7
    assert level_of(64, 64) == 0


def test_the_interval_is_the_jeffreys_interval():
    # Published quantiles of Beta(4.5, 4.5) at 2.5 % and 97.5 %.
    low, high = solve_rate_interval(4, 8)
    assert low == pytest.approx(0.1994, abs=2e-3)
    assert high == pytest.approx(1 - low, abs=1e-9)
    assert solve_rate_interval(0, 8)[0] == 0.0
    assert solve_rate_interval(8, 8)[1] == 1.0


def test_the_beta_distribution_agrees_with_closed_forms():
    # Beta(1, b) has the distribution function 1 - (1-x)^b, Beta(1/2, 1/2) the arcsine law.
    assert beta_cdf(0.3, 1.0, 3.0) == pytest.approx(1 - 0.7**3, abs=1e-12)
    assert beta_cdf(0.2, 0.5, 0.5) == pytest.approx(2 / math.pi * math.asin(math.sqrt(0.2)))
    assert beta_cdf(0.0, 2.0, 2.0) == 0.0 and beta_cdf(1.0, 2.0, 2.0) == 1.0


def test_a_difficulty_sums_up_the_rollouts():
    rollouts = [
        completion("3", True, 10),
        completion("3.0", True, 20),
        completion("4", False, 30),
        completion(None, False, 60, truncated=True),
    ]
    difficulty = measure_difficulty("a", rollouts)
    assert difficulty.solve_rate == 0.5
    assert difficulty.complexity == 30.0
    assert difficulty.correct_complexity == 15.0
    assert difficulty.truncated_share == 0.25
    # Three answers (the two correct ones are one) with shares 1/2, 1/4, 1/4: 1.5 bits.
    assert difficulty.answer_entropy == pytest.approx(1.5)


def test_the_entropy_is_zero_when_all_agree_and_there_is_no_correct_length():
    difficulty = measure_difficulty("a", [completion("7", False)] * 8)
    assert difficulty.answer_entropy == 0.0
    assert difficulty.correct_complexity is None
    assert difficulty.level == 8
