"""Advantages, group weights and admission, on values worked out by hand."""

import math

import pytest
from groups import first_right, scored
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from observe_r1.errors import DataError
from observe_r1.weighting import (
    AdmitMixed,
    AdmitSolveRateBand,
    BatchNormalised,
    GroupMeanStd,
    LeaveOneOut,
    MeanOnly,
    MeanRatio,
    MinNorm,
    NormaliseThenSum,
    StaticDifficultyWeight,
    UncertaintyWeight,
    Weighting,
    min_norm_weights,
    weigh_groups,
)


def advantages(group, advantage) -> tuple[float, ...]:
    return weigh_groups([group], Weighting(advantage=advantage))[0].advantages_G


ONE_OF_FOUR = first_right(1, 4)


def test_mean_std_divides_by_the_unbiased_deviation() -> None:
    assert advantages(ONE_OF_FOUR, GroupMeanStd()) == pytest.approx((1.5, -0.5, -0.5, -0.5))
    biased = advantages(ONE_OF_FOUR, GroupMeanStd(unbiased=False))
    assert biased[0] == pytest.approx(0.75 / math.sqrt(3 / 16))


def test_mean_only_keeps_the_scale_of_the_rewards() -> None:
    assert advantages(ONE_OF_FOUR, MeanOnly()) == pytest.approx((0.75, -0.25, -0.25, -0.25))


def test_leave_one_out_compares_with_the_others() -> None:
    assert advantages(ONE_OF_FOUR, LeaveOneOut()) == pytest.approx((1, -1 / 3, -1 / 3, -1 / 3))
    assert advantages(first_right(1, 1), LeaveOneOut()) == (0.0,)


def test_mean_ratio_lifts_rare_success() -> None:
    group = scored([True, False, False, False], parts_G=[{"a": 1.0}, *[{"a": 0.0}] * 3])
    assert advantages(group, MeanRatio()) == pytest.approx((3, -1, -1, -1))
    opposed = scored([True, False], parts_G=[{"a": 1.0}, {"a": -1.0}])
    assert advantages(opposed, MeanRatio(floor=0.5)) == pytest.approx((2, -2))


def test_batch_normalisation_has_one_scale_for_all_groups() -> None:
    groups = [first_right(1, 4), first_right(2, 4)]
    found = weigh_groups(groups, Weighting(advantage=BatchNormalised()))
    spread = math.sqrt((0.75**2 + 3 * 0.25**2 + 4 * 0.5**2) / 7)
    assert found[0].advantages_G[0] == pytest.approx(0.75 / spread)
    assert found[1].advantages_G[0] == pytest.approx(0.5 / spread)


OBJECTIVES = [
    {"accuracy": 1.0, "format": 0.5, "short": 0.0},
    {"accuracy": 1.0, "format": 0.5, "short": 0.1},
    {"accuracy": 0.0, "format": 0.5, "short": 0.0},
    {"accuracy": 0.0, "format": 0.5, "short": 0.1},
]


def test_normalise_then_sum_does_not_drown_a_small_reward() -> None:
    group = scored([True, True, False, False], parts_G=OBJECTIVES)
    unit = 0.5 / math.sqrt(1 / 3)
    found = advantages(group, NormaliseThenSum())
    assert found == pytest.approx((0, 2 * unit, -2 * unit, 0), abs=1e-6)
    weighted = advantages(group, NormaliseThenSum(weights={"short": 0.0}))
    assert weighted == pytest.approx((unit, unit, -unit, -unit), abs=1e-6)


def test_min_norm_drops_what_has_no_variance_and_restores_the_magnitude() -> None:
    group = scored([True, True, False, False], parts_G=OBJECTIVES)
    found = advantages(group, MinNorm())
    assert math.sqrt(sum(a * a for a in found) / 3) == pytest.approx(1.0)
    assert found[1] == pytest.approx(-found[2]) and found[1] > 1
    bare = advantages(group, MinNorm(restore_magnitude=False))
    assert bare[1] == pytest.approx(0.5 / math.sqrt(1 / 3))


def test_min_norm_of_two_opposed_objectives_is_nothing() -> None:
    parts = [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]
    assert advantages(scored([True, False], parts_G=parts), MinNorm()) == (0.0, 0.0)


def test_min_norm_of_a_saturated_group_is_nothing() -> None:
    assert advantages(first_right(4, 4), MinNorm()) == (0.0,) * 4


def test_frank_wolfe_finds_the_point_of_least_norm() -> None:
    assert min_norm_weights([[1.0, 0.0], [0.0, 4.0]]) == pytest.approx([0.8, 0.2])
    assert min_norm_weights([[1.0, 2.0], [2.0, 9.0]]) == pytest.approx([1.0, 0.0])
    identity = [[float(i == j) for j in range(3)] for i in range(3)]
    assert min_norm_weights(identity) == pytest.approx([1 / 3] * 3)


@settings(max_examples=100)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=3, max_size=5))
def test_no_objective_opposes_the_point_of_least_norm(vectors) -> None:
    gram = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in vectors] for a in vectors]
    weights = min_norm_weights(gram)
    assert sum(weights) == pytest.approx(1.0) and min(weights) >= 0
    along = [sum(g * w for g, w in zip(row, weights, strict=True)) for row in gram]
    norm = sum(w * a for w, a in zip(weights, along, strict=True))
    assert all(value >= norm - 1e-3 * max(1.0, abs(norm)) for value in along)


@settings(max_examples=200)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_advantages_of_a_group_sum_to_zero_and_equal_rewards_give_exactly_zero(rewards) -> None:
    group = scored([False] * len(rewards), parts_G=[{"r": value} for value in rewards])
    for advantage in (GroupMeanStd(), MeanOnly(), LeaveOneOut(), BatchNormalised()):
        found = advantages(group, advantage)
        assert sum(found) == pytest.approx(0, abs=1e-5)
        if len(set(rewards)) == 1:
            assert set(found) == {0.0}


def test_rounding_dust_in_equal_rewards_is_no_signal() -> None:
    dust = scored([True, True], parts_G=[{"a": 0.1 + 0.2}, {"a": 0.3}])
    assert not weigh_groups([dust], Weighting())[0].has_signal


def test_the_weight_can_be_normalised_over_the_batch_and_have_a_floor() -> None:
    groups = [first_right(right) for right in (0, 2, 4)]
    plain = weigh_groups(groups, Weighting(weight=UncertaintyWeight()))
    assert [w.weight for w in plain] == pytest.approx([0, 1.35, 1.8])
    normal = weigh_groups(groups, Weighting(weight=UncertaintyWeight(normalise=True)))
    assert sum(w.weight for w in normal) / 3 == pytest.approx(1.0)
    floored = weigh_groups(groups, Weighting(weight=UncertaintyWeight(floor=0.5)))
    assert [w.weight for w in floored] == pytest.approx([0.5, 1.35, 1.8])
    nothing = weigh_groups(groups[:1], Weighting(weight=UncertaintyWeight(normalise=True)))
    assert nothing[0].weight == 0.0


def test_static_difficulty_weighs_by_the_probe() -> None:
    groups = [first_right(2, solve_rate=rate) for rate in (1.0, 0.5, 0.0)]
    found = weigh_groups(groups, Weighting(weight=StaticDifficultyWeight()))
    assert [w.weight for w in found] == pytest.approx([0.5, 1.0, 1.5])
    with pytest.raises(DataError, match=r"sample 's' has no solve rate.*data probe"):
        weigh_groups([first_right(2)], Weighting(weight=StaticDifficultyWeight()))


def test_rejected_groups_keep_their_place_and_pull_nothing() -> None:
    groups = [first_right(right) for right in (0, 4, 8)]
    found = weigh_groups(groups, Weighting(admission=AdmitMixed()))
    assert [w.admitted for w in found] == [False, True, False]
    assert [w.scored for w in found] == groups
    assert set(found[0].advantages_G) == {0.0} and found[1].has_signal


def test_a_solve_rate_band_includes_its_ends() -> None:
    band = AdmitSolveRateBand(low=0.25, high=0.75)
    assert [band.admits(first_right(right)) for right in range(9)] == [False] * 2 + [True] * 5 + [
        False
    ] * 2


def test_rejected_groups_take_no_part_in_statistics_over_the_batch() -> None:
    weighting = Weighting(advantage=BatchNormalised(), admission=AdmitMixed())
    mixed = first_right(4)
    alone = weigh_groups([mixed], weighting)[0]
    crowd = weigh_groups([first_right(8), mixed, first_right(0)], weighting)[1]
    assert alone.advantages_G == crowd.advantages_G


def test_truncated_completions_can_be_left_out_of_the_loss() -> None:
    group = first_right(1, 2, truncated_G=[False, True])
    assert weigh_groups([group], Weighting())[0].completion_weights_G == (1.0, 1.0)
    masked = weigh_groups([group], Weighting(truncated="mask"))[0]
    assert masked.completion_weights_G == (1.0, 0.0)
    assert masked.advantages_G[1] != 0.0


def test_a_batch_without_an_admitted_group_comes_back_whole() -> None:
    found = weigh_groups([first_right(0)], Weighting(admission=AdmitMixed()))
    assert len(found) == 1 and not found[0].admitted
    assert weigh_groups([], Weighting()) == []


def test_impossible_settings_are_refused_when_they_are_made() -> None:
    with pytest.raises(ValidationError, match=r"low 0.9 is above high 0.1"):
        AdmitSolveRateBand(low=0.9, high=0.1)
    with pytest.raises(ValidationError, match="both 0"):
        StaticDifficultyWeight(easiest=0, hardest=0)


def test_settings_survive_a_round_trip_through_json() -> None:
    weighting = Weighting(advantage=MinNorm(), weight=UncertaintyWeight(sigma=1.2))
    assert Weighting.model_validate_json(weighting.model_dump_json()) == weighting
