import numpy as np
import pytest

from observe_r1.data.agreement import compare_probes, fit_rates, rank_correlation


def test_ranks_share_their_mean_where_values_are_equal():
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    found = rank_correlation(np.array([0, 1, 1, 5]), np.array([1, 2, 3, 4]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert rank_correlation(np.array([1, 1]), np.array([1, 2])) == 0.0


def test_the_mean_and_spread_of_the_rates_are_found_again_from_counts():
    rng = np.random.default_rng(0)
    grid, weights = fit_rates(rng.binomial(8, rng.beta(0.7, 1.4, 50_000)), 8)
    assert grid @ weights == pytest.approx(1 / 3, abs=0.01)
    assert ((grid - 1 / 3) ** 2) @ weights == pytest.approx(0.7 * 1.4 / (2.1**2 * 3.1), rel=0.05)


def test_the_ceiling_holds_for_models_that_solve_one_kind_and_guess_at_another():
    rng = np.random.default_rng(2)
    solves = rng.random(5_000) < 0.15
    rates = np.where(solves, rng.beta(8, 1, 5_000), rng.beta(4, 10, 5_000))
    found = compare_probes(rng.binomial(8, rates), rng.binomial(8, rates), 8)
    assert found.share == pytest.approx(1.0, abs=0.05)


def test_two_probes_of_one_model_reach_the_ceiling_and_of_two_models_do_not():
    rng = np.random.default_rng(1)
    rates = rng.beta(0.8, 1.0, 5_000)
    same = compare_probes(rng.binomial(8, rates), rng.binomial(8, rates), 8)
    assert same.share == pytest.approx(1.0, abs=0.02) and same.ceiling < 0.95
    blurred = np.clip(rates + rng.normal(0, 0.3, 5_000), 0, 1)
    assert compare_probes(rng.binomial(8, rates), rng.binomial(8, blurred), 8).share < 0.9
