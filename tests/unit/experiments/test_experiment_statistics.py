import random

import pytest

from observe_r1.experiments.statistics import holm, paired_effect, t_quantile, two_sided_p


@pytest.mark.parametrize(
    ("degrees", "t"), [(1, 12.706), (2, 4.3027), (4, 2.7764), (9, 2.2622), (100, 1.9840)]
)
def test_students_quantiles_are_those_of_the_tables(degrees, t):
    assert t_quantile(0.95, degrees) == pytest.approx(t, abs=1e-3)


def test_p_values_are_those_of_the_tables():
    assert two_sided_p(2.2622, 9) == pytest.approx(0.05, abs=1e-4)
    assert two_sided_p(0.0, 5) == pytest.approx(1.0)


def test_an_interval_by_hand():
    effect = paired_effect([0.1, 0.2, 0.3])
    assert effect.mean == pytest.approx(0.2)
    assert effect.high - effect.mean == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)


def test_equal_differences_have_no_spread():
    assert paired_effect([0.0, 0.0]).p == 1.0
    assert paired_effect([0.1, 0.1]).low == pytest.approx(0.1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = random.Random(0)
    covered = 0
    for _ in range(600):
        effect = paired_effect([rng.gauss(0.1, 1.0) for _ in range(5)])
        covered += effect.low <= 0.1 <= effect.high
    assert 0.92 < covered / 600 < 0.98
