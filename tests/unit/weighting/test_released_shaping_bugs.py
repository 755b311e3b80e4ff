"""The faults of the authors' shaping (B1 to B5): absent from ours, kept in the released variant."""

import math
import random

import numpy as np
import pytest

from observe_r1.rewards import Bonus, ReleasedBonus, Scoring, score_group
from observe_r1.types import Completion, RolloutGroup, Sample, ScoredGroup
from observe_r1.weighting import (
    ReleasedUncertaintyWeight,
    UncertaintyWeight,
    Weighting,
    weigh_groups,
)

GOOD, WRONG = "<think>t</think><answer>3</answer>", "<think>t</think><answer>4</answer>"
UNFORMATTED = "<answer>3</answer>"
BROKEN = "<answer>4</answer>"


def group(texts: list[str], lengths: list[int]) -> RolloutGroup:
    sample = Sample(id="s", question="How many?", answer="3", kind="number")
    completions = tuple(
        Completion(text=text, token_ids=(0,) * length)
        for text, length in zip(texts, lengths, strict=True)
    )
    return RolloutGroup(sample=sample, completions_G=completions)


def score(texts: list[str], lengths: list[int], bonus: object = None) -> ScoredGroup:
    return score_group(group(texts, lengths), Scoring(bonus=bonus))  # type: ignore[arg-type]


def bonuses(scored: ScoredGroup) -> list[float]:
    return [score.bonus for score in scored.scores_G]


def advantages(scored: ScoredGroup, weight: object = None) -> tuple[float, ...]:
    weighting = Weighting(weight=weight) if weight else Weighting()  # type: ignore[arg-type]
    return weigh_groups([scored], weighting)[0].advantages_G


def test_b1_a_group_without_a_correct_answer_gives_no_bonus() -> None:
    texts, lengths = [WRONG] * 8, [150] * 8
    assert bonuses(score(texts, lengths, Bonus())) == [0.0] * 8
    assert set(advantages(score(texts, lengths, Bonus()))) == {0.0}


def test_b1_the_released_variant_rewards_the_first_wrong_answer() -> None:
    found = advantages(score([WRONG] * 8, [150] * 8, ReleasedBonus()))
    assert found[0] == pytest.approx(2.47, abs=0.01)
    assert found[1] == pytest.approx(-0.35, abs=0.01)


def test_b2_an_all_right_group_keeps_its_push_to_be_concise_without_the_weight() -> None:
    scored = score([GOOD] * 8, [150, *[200] * 7], Bonus())
    assert advantages(scored)[0] == pytest.approx(2.47, abs=0.01)
    assert set(advantages(scored, UncertaintyWeight())) == {0.0}


def test_b2_a_floor_of_the_weight_keeps_it_with_the_weight() -> None:
    scored = score([GOOD] * 8, [150, *[200] * 7], Bonus())
    found = advantages(scored, UncertaintyWeight(floor=0.2))
    assert found[0] == pytest.approx(0.2 * 2.47, abs=0.01)


def test_b3_a_floor_of_the_weight_lets_all_wrong_groups_learn_the_format() -> None:
    scored = score([WRONG, BROKEN] * 4, [150] * 8)
    assert set(advantages(scored, UncertaintyWeight())) == {0.0}
    found = advantages(scored, UncertaintyWeight(floor=0.1))
    assert found[0] > 0 > found[1]


def test_b4_tied_winners_share_the_bonus_and_an_unformatted_answer_never_wins() -> None:
    tied = score([GOOD, GOOD, WRONG, GOOD], [150, 150, 120, 200], Bonus())
    assert bonuses(tied) == [0.1, 0.1, 0.0, 0.0]
    unformatted = score([UNFORMATTED, GOOD, WRONG, WRONG], [120, 150, 150, 150], Bonus())
    assert bonuses(unformatted) == [0.0, 0.2, 0.0, 0.0]


def test_b4_the_released_variant_gives_ties_to_the_first_and_ignores_the_format() -> None:
    tied = score([GOOD, GOOD, WRONG], [150, 150, 120], ReleasedBonus())
    assert bonuses(tied) == [0.2, 0.0, 0.0]
    unformatted = score([UNFORMATTED, GOOD, WRONG], [120, 150, 150], ReleasedBonus())
    assert bonuses(unformatted) == [0.2, 0.0, 0.0]


def test_b4_after_normalisation_the_bonus_has_one_size_whatever_the_groups_spread() -> None:
    half = score([GOOD] * 4 + [WRONG] * 4, [150, *[200] * 7], Bonus(when="after"))
    most = score([GOOD] * 7 + [WRONG], [150, *[200] * 7], Bonus(when="after"))
    for scored in (half, most):
        found = advantages(scored)
        assert found[0] - found[1] == pytest.approx(0.2)
        assert scored.scores_G[0].reward == pytest.approx(1.7)


def test_b5_every_advantage_works_with_the_weight_and_keeps_groups_apart() -> None:
    first = score([GOOD, WRONG], [150, 150])
    other = score([GOOD] * 2 + [WRONG], [150] * 3)
    together = weigh_groups([first, other], Weighting(weight=UncertaintyWeight()))
    alone = [weigh_groups([g], Weighting(weight=UncertaintyWeight()))[0] for g in (first, other)]
    assert [w.advantages_G for w in together] == [w.advantages_G for w in alone]


def released_formula(rewards, lengths, coefficient=0.2, floor=100, sigma=1.8):
    """The released shaping written down from its description: bonus, clamp, f, normalisation."""
    rewards = np.array(rewards, dtype=np.float64)
    is_right = np.trunc(rewards) == 1
    masked = np.where(is_right, np.array(lengths, dtype=np.float64), np.inf)
    winner = int(np.argmin(masked))
    if masked[winner] > floor:
        rewards[winner] += coefficient
    p = np.trunc(rewards).sum() / len(rewards)
    weight = 4 * sigma * p * (1 - p)
    return weight * (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-9)


def random_group(rng: random.Random) -> tuple[list[str], list[int]]:
    texts = rng.choices([GOOD, WRONG, UNFORMATTED, BROKEN], k=8)
    return texts, [rng.randrange(60, 400) for _ in range(8)]


REWARD_OF = {GOOD: 1.5, WRONG: 0.5, UNFORMATTED: 1.0, BROKEN: 0.0}
RELEASED = Weighting(weight=ReleasedUncertaintyWeight())
OURS = Weighting(weight=UncertaintyWeight())


def test_the_authors_formula_is_reproduced_on_ten_thousand_random_groups() -> None:
    rng, where_meant = random.Random(0), 0
    for _ in range(10_000):
        texts, lengths = random_group(rng)
        expected = released_formula([REWARD_OF[t] for t in texts], lengths)
        released = advantages_of(texts, lengths, ReleasedBonus(), RELEASED)
        assert np.allclose(released, expected, atol=1e-6)
        if code_does_what_it_means_to(texts, lengths):
            where_meant += 1
            assert np.allclose(advantages_of(texts, lengths, Bonus(), OURS), expected, atol=1e-6)
    assert where_meant > 3_000


def code_does_what_it_means_to(texts: list[str], lengths: list[int]) -> bool:
    """Some answer is right; the shortest right one is alone and well formed."""
    right = [i for i, text in enumerate(texts) if text in (GOOD, UNFORMATTED)]
    if not right:
        return False
    shortest = min(lengths[i] for i in right)
    winners = [i for i in right if lengths[i] == shortest]
    return len(winners) == 1 and texts[winners[0]] == GOOD


def advantages_of(texts, lengths, bonus, weighting):
    key = (tuple(texts), type(bonus))
    return weigh_groups([fast_score(key, lengths, bonus)], weighting)[0].advantages_G


def fast_score(key, lengths, bonus) -> ScoredGroup:
    """Scores of known texts put together without grading each of 80,000 completions again."""
    from observe_r1.types import Score

    texts = list(key[0])
    rollout = group(texts, lengths)
    scores = [
        Score(
            rewards={"accuracy": float(REWARD_OF[t] >= 1), "format": REWARD_OF[t] % 1},
            reward=REWARD_OF[t],
            correct=REWARD_OF[t] >= 1,
            well_formed=REWARD_OF[t] % 1 == 0.5,
        )
        for t in texts
    ]
    given = bonus.amounts(rollout.completions_G, scores)
    shaped = [
        Score(rewards=s.rewards, reward=s.reward + b, correct=s.correct, well_formed=s.well_formed,
              bonus=b)
        for s, b in zip(scores, given, strict=True)
    ]  # fmt: skip
    return ScoredGroup(rollout=rollout, scores_G=tuple(shaped))


def test_the_shortcut_of_the_test_above_scores_as_the_package_does() -> None:
    rng = random.Random(1)
    for _ in range(30):
        texts, lengths = random_group(rng)
        for bonus in (Bonus(), ReleasedBonus()):
            slow, fast = score(texts, lengths, bonus), fast_score((tuple(texts), 0), lengths, bonus)
            assert [s.reward for s in slow.scores_G] == [s.reward for s in fast.scores_G]
            assert [s.correct for s in slow.scores_G] == [s.correct for s in fast.scores_G]


def test_a_large_bonus_bends_the_released_solve_rate_and_never_ours() -> None:
    texts, lengths = [GOOD] * 4 + [WRONG] * 4, [150, *[200] * 7]
    released = score(texts, lengths, ReleasedBonus(coefficient=0.6))
    weight = weigh_groups([released], RELEASED)[0].weight
    assert weight == pytest.approx(4 * 1.8 * 0.625 * 0.375)
    ours = weigh_groups([score(texts, lengths, Bonus(coefficient=0.6))], OURS)[0]
    assert ours.weight == pytest.approx(1.8) and not math.isclose(ours.weight, weight)
