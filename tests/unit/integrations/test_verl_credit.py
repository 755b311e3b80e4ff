"""Completions scored one by one, in verl's workers, are worth what whole groups are worth."""

import random

import pytest

from observe_r1.config.stages import RLStage
from observe_r1.errors import TrainingError
from observe_r1.integrations.verl.credit import (
    Attempted,
    batch_metrics,
    give_credit,
    score_facts,
)
from observe_r1.rewards import score_group
from observe_r1.types import Completion, RolloutGroup, Sample
from observe_r1.weighting import weigh_groups

STAGES = {
    "observe_r1": {
        "bonus": {"type": "shortest", "floor": 3},
        "weight": {"type": "uncertainty"},
    },
    "bonus after": {"bonus": {"type": "shortest", "floor": 3, "when": "after"}},
    "released": {
        "bonus": {"type": "released", "floor": 3},
        "weight": {"type": "released_uncertainty"},
    },
    "batch": {"advantage": {"type": "batch_normalised"}, "admission": {"type": "mixed"}},
    "objectives": {"advantage": {"type": "normalise_then_sum", "weights": {"format": 0.5}}},
    "least norm": {"advantage": {"type": "min_norm"}, "truncated": "mask"},
    "static": {"weight": {"type": "static_difficulty", "normalise": True}},
}


def group(number: int, rng: random.Random) -> RolloutGroup:
    """Five answers, right and wrong, well formed or not, of different lengths."""
    sample = Sample(
        id=f"q{number}",
        question="?",
        answer=str(number),
        kind="number",
        solve_rate=0.25 * number % 1,
    )
    completions = []
    for _ in range(5):
        answer = number if rng.random() < 0.5 else number + 1
        text = f"<think>so</think><answer>{answer}</answer>"
        if rng.random() < 0.3:
            text = text.replace("</think>", "")
        length = rng.randint(2, 9)
        completions.append(
            Completion(text=text, token_ids=(0,) * length, truncated=rng.random() < 0.2)
        )
    return RolloutGroup(sample=sample, completions_G=tuple(completions), step=4)


def attempts_of(groups, stage):
    """What verl's workers send: each completion scored alone, without a bonus."""
    alone = stage.model_copy(update={"bonus": None})
    found = []
    for rollout in groups:
        for place, completion in enumerate(rollout.completions_G):
            one = RolloutGroup(sample=rollout.sample, completions_G=(completion,), step=4)
            score = score_group(one, alone, 4).scores_G[0]
            key = f"{rollout.sample.id}_{place}_0"
            facts = score_facts(score, completion)
            found.append(Attempted(key=key, sample=rollout.sample, facts=facts))
    return found


@pytest.mark.parametrize("name", STAGES)
def test_credit_is_that_of_our_own_loop(name):
    stage = RLStage.build(STAGES[name], name)
    rng = random.Random(name)
    groups = [group(number, rng) for number in range(8)]
    expected = weigh_groups([score_group(g, stage, 4) for g in groups], stage)
    attempts = attempts_of(groups, stage)
    rng.shuffle(attempts)
    credits, _ = give_credit(attempts, stage, 4)
    signal = 0
    for weighted in expected:
        for place, advantage in enumerate(weighted.advantages_G):
            credit = credits[f"{weighted.scored.sample.id}_{place}_0"]
            assert credit.advantage == pytest.approx(advantage, abs=1e-9)
            assert credit.reward == pytest.approx(weighted.scored.scores_G[place].reward)
            counts = weighted.admitted and weighted.completion_weights_G[place] > 0
            assert credit.counts == counts
            signal += advantage != 0
    assert signal > 10


def test_metrics_name_every_reward():
    stage = RLStage.build(STAGES["observe_r1"], "stage")
    groups = [group(number, random.Random(number)) for number in range(6)]
    _, weighted = give_credit(attempts_of(groups, stage), stage, 1)
    metrics = batch_metrics(weighted)
    rates = [g.scored.solve_rate for g in weighted]
    assert metrics["observe_r1/accuracy"] == pytest.approx(sum(rates) / len(rates))
    assert metrics["observe_r1/reward"] == pytest.approx(
        metrics["observe_r1/reward_accuracy"]
        + metrics["observe_r1/reward_format"]
        + metrics["observe_r1/bonus"]
    )


def test_a_reward_that_failed_in_a_worker_stops_the_run():
    sample = Sample(id="q", question="?", answer="1", kind="number")
    facts = {"score": 0.0, "acc": 0.0, "error": "reward 'mine' on sample 'q' raised KeyError"}
    with pytest.raises(TrainingError, match="reward 'mine' on sample 'q'"):
        give_credit([Attempted(key="a_0_0", sample=sample, facts=facts)], RLStage(), 1)
