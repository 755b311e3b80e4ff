"""Rewards that stop teaching are reported, once, in words."""

import json

from attempts import RIGHT, WRONG, scored

from observe_r1.rewards import RewardHealth


def test_a_saturated_format_and_a_stuck_accuracy_are_reported_once() -> None:
    health = RewardHealth(patience=3)
    found = [health.observe([scored([WRONG, WRONG])]) for _ in range(5)]
    assert found[0] == found[1] == found[3] == found[4] == []
    text = "\n".join(found[2])
    assert "reward 'format' has been 0.5 for every completion of the last 3 steps" in text
    assert "it is saturated" in text
    assert "reward 'accuracy' has been 0 for every completion" in text and "it is stuck" in text
    assert "no completion of the last 3 steps was correct" in text
    assert "Meanwhile format pays in full." in text


def test_variety_breaks_the_streak() -> None:
    health = RewardHealth(patience=2)
    for texts in ([WRONG, WRONG], [RIGHT, WRONG], [WRONG, WRONG]):
        assert not any("accuracy" in line for line in health.observe([scored(texts)]))
    assert any("'accuracy'" in line for line in health.observe([scored([WRONG, WRONG])]))


def test_questions_that_are_all_solved_are_too_easy() -> None:
    health = RewardHealth(patience=1)
    assert any("too easy" in line for line in health.observe([scored([RIGHT])]))


def test_its_state_goes_through_json() -> None:
    health, resumed = RewardHealth(patience=3), RewardHealth()
    for _ in range(2):
        health.observe([scored([WRONG])])
    resumed.load_state_dict(json.loads(json.dumps(health.state_dict())))
    assert resumed.observe([scored([WRONG])]) == health.observe([scored([WRONG])]) != []


def test_an_empty_step_says_nothing() -> None:
    assert RewardHealth(patience=1).observe([]) == []
