"""Rewards made of rewards: what they are worth and what they leave in the records."""

import pytest
from attempts import RIGHT, WRONG, scored
from pydantic import ValidationError

from observe_r1.rewards import Scoring, score_group
from observe_r1.types import Completion, RolloutGroup, Sample

ACCURACY, FORMAT = {"type": "accuracy"}, {"type": "format"}
UNFORMATTED = "<answer>3</answer>"


def value(reward: dict, text: str = RIGHT, step: int = 0) -> float:
    scoring = Scoring.model_validate({"rewards": [reward]})
    sample = Sample(id="s", question="?", answer="3", kind="number")
    rollout = RolloutGroup(sample=sample, completions_G=(Completion(text=text),))
    return score_group(rollout, scoring, step).scores_G[0].reward


def test_a_weighted_sum_is_one_reward_whose_parts_stay_in_the_records() -> None:
    reward = {"type": "weighted_sum", "name": "mix", "parts": [ACCURACY, {**FORMAT, "weight": 0.5}]}
    score = scored([RIGHT], Scoring.model_validate({"rewards": [reward]})).scores_G[0]
    assert score.rewards == {"mix": 1.5} and score.reward == 1.5
    assert score.parts == {"mix.accuracy": 1.0, "mix.format": 0.5}


def test_all_of_asks_for_every_part() -> None:
    reward = {"type": "all_of", "parts": [ACCURACY, FORMAT, {"type": "finished"}]}
    assert [value(reward, text) for text in (RIGHT, WRONG, UNFORMATTED)] == [1.0, 0.0, 0.0]


def test_max_of_takes_the_best() -> None:
    reward = {"type": "max_of", "parts": [ACCURACY, {**FORMAT, "weight": 0.3}]}
    assert [value(reward, text) for text in (RIGHT, WRONG, "")] == [1.0, 0.3, 0.0]


def test_a_gate_multiplies_everything() -> None:
    reward = {"type": "gated_product", "gate": FORMAT, "parts": [ACCURACY]}
    assert [value(reward, text) for text in (RIGHT, WRONG, UNFORMATTED)] == [2.0, 1.0, 0.0]


def test_if_correct_pays_only_right_answers() -> None:
    reward = {"type": "if_correct", "reward": FORMAT, "otherwise": -0.1}
    assert [value(reward, text) for text in (RIGHT, WRONG, UNFORMATTED)] == [1.0, -0.1, 0.0]


def test_alternate_uses_the_second_reward_at_the_end_of_each_window() -> None:
    reward = {"type": "alternate", "first": ACCURACY, "second": FORMAT, "window": 5, "steps": 2}
    assert [value(reward, WRONG, step) for step in range(7)] == [0, 0, 0, 1, 1, 0, 0]
    with pytest.raises(ValidationError, match="steps 5 fill the window of 5"):
        Scoring.model_validate({"rewards": [{**reward, "steps": 5}]})


def test_switch_goes_from_phase_to_phase() -> None:
    phases = [{"until": 2, "reward": FORMAT}]
    reward = {"type": "switch", "phases": phases, "last": ACCURACY}
    assert [value(reward, WRONG, step) for step in range(4)] == [1, 1, 0, 0]


def test_blend_moves_from_one_reward_to_the_other() -> None:
    reward = {"type": "blend", "start": FORMAT, "end": ACCURACY, "steps": 4}
    assert [value(reward, WRONG, step) for step in (0, 1, 2, 4, 9)] == [1, 0.75, 0.5, 0, 0]


def test_combined_rewards_nest_and_survive_a_round_trip() -> None:
    reward = {
        "type": "gated_product",
        "gate": FORMAT,
        "parts": [
            {"type": "max_of", "parts": [ACCURACY, {"type": "if_correct", "reward": FORMAT}]}
        ],
    }
    scoring = Scoring.model_validate({"rewards": [reward]})
    assert Scoring.model_validate_json(scoring.model_dump_json()) == scoring
    assert value(reward) == 2.0


def test_rewards_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two rewards are called 'accuracy'"):
        Scoring.model_validate({"rewards": [ACCURACY, ACCURACY]})
    with pytest.raises(ValidationError, match="two parts are called 'format'"):
        Scoring.model_validate({"rewards": [{"type": "max_of", "parts": [FORMAT, FORMAT]}]})
    with pytest.raises(ValidationError, match="may not be called 'bonus'"):
        Scoring.model_validate({"rewards": [{**ACCURACY, "name": "bonus"}]})
