"""The effect of bonus and weight on groups of eight, to two decimals.

Every number was measured on the authors' formula: all completions well formed and longer than the
floor, σ = 1.8, bonus 0.2. People train on these values: changing one is a decision.
"""

import pytest

from observe_r1.rewards import Bonus, Scoring, score_group
from observe_r1.types import Completion, RolloutGroup, Sample
from observe_r1.weighting import UncertaintyWeight, Weighting, weigh_groups

PLAIN = Weighting()
OBSERVE_R1 = Weighting(weight=UncertaintyWeight(sigma=1.8))

# right of 8: weight, GRPO right / wrong, Observe-R1 best / other right / wrong, sums of |A|
TABLE = {
    1: (0.79, 2.47, -0.35, 1.95, None, -0.28, 3.9, 4.9),
    2: (1.35, 1.62, -0.54, 2.44, 1.91, -0.73, 8.7, 6.5),
    3: (1.69, 1.21, -0.72, 2.43, 1.82, -1.22, 12.2, 7.3),
    4: (1.80, 0.94, -0.94, 2.15, 1.51, -1.67, 13.4, 7.5),
    5: (1.69, 0.72, -1.21, 1.71, 1.09, -2.02, 12.1, 7.3),
    6: (1.35, 0.54, -1.62, 1.19, 0.63, -2.16, 8.7, 6.5),
    7: (0.79, 0.35, -2.47, 0.64, 0.21, -1.91, 3.8, 4.9),
}


def group_of_eight(right: int) -> RolloutGroup:
    """The first ``right`` completions answer 3, which is correct; the first is the shortest."""
    sample = Sample(id="s", question="How many?", answer="3", kind="number")
    completions = tuple(
        Completion(
            text=f"<observe>o</observe><think>t</think><answer>{3 if i < right else 4}</answer>",
            token_ids=tuple(range(101 + i)),
        )
        for i in range(8)
    )
    return RolloutGroup(sample=sample, completions_G=completions)


def advantages(right: int, weighting: Weighting, bonus: Bonus | None):
    scoring = Scoring(grammar="observe_think_answer", bonus=bonus)
    return weigh_groups([score_group(group_of_eight(right), scoring)], weighting)[0]


@pytest.mark.parametrize("right", TABLE)
def test_the_whole_table_holds_to_two_decimals(right: int) -> None:
    weight, grpo_right, grpo_wrong, best, other, wrong, total, grpo_total = TABLE[right]
    ours, plain = advantages(right, OBSERVE_R1, Bonus()), advantages(right, PLAIN, None)
    assert ours.weight == pytest.approx(weight, abs=0.0051)
    assert plain.advantages_G[0] == pytest.approx(grpo_right, abs=0.0051)
    assert plain.advantages_G[-1] == pytest.approx(grpo_wrong, abs=0.0051)
    assert ours.advantages_G[0] == pytest.approx(best, abs=0.0051)
    if other is not None:
        assert ours.advantages_G[1] == pytest.approx(other, abs=0.0051)
    assert ours.advantages_G[-1] == pytest.approx(wrong, abs=0.0051)
    assert sum(map(abs, ours.advantages_G)) == pytest.approx(total, abs=0.06)
    assert sum(map(abs, plain.advantages_G)) == pytest.approx(grpo_total, abs=0.06)


@pytest.mark.parametrize("right", [0, 8])
def test_groups_of_one_mind_have_no_weight_and_no_advantage(right: int) -> None:
    ours = advantages(right, OBSERVE_R1, Bonus())
    assert ours.weight == 0.0
    assert set(ours.advantages_G) == {0.0} and not ours.has_signal
    assert set(advantages(right, PLAIN, None).advantages_G) == {0.0}


def test_the_mean_weight_over_all_solve_rates_is_1_05() -> None:
    weights = [advantages(right, OBSERVE_R1, None).weight for right in range(9)]
    assert sum(weights) / 9 == pytest.approx(1.05)
