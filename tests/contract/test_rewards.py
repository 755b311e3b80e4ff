"""One rule over all rewards: finite on any text, alike on equal input, and at home in JSON."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe_r1.rewards import REWARDS, Scoring, score_group
from observe_r1.types import Completion, RolloutGroup, Sample

ACCURACY, FORMAT = {"type": "accuracy"}, {"type": "format"}
SETTINGS = {
    "cosine_length": {"max_tokens": 100},
    "soft_overlong": {"max_tokens": 100, "buffer": 20},
    "weighted_sum": {"parts": [ACCURACY, FORMAT]},
    "all_of": {"parts": [ACCURACY, FORMAT]},
    "max_of": {"parts": [ACCURACY, FORMAT]},
    "gated_product": {"gate": FORMAT, "parts": [ACCURACY]},
    "if_correct": {"reward": FORMAT},
    "alternate": {"first": ACCURACY, "second": FORMAT},
    "switch": {"phases": [{"until": 3, "reward": ACCURACY}], "last": FORMAT},
    "blend": {"start": ACCURACY, "end": FORMAT, "steps": 9},
}
ELSEWHERE = {"judge", "style", "user"}
"""They ask a server, a fitted judge or the user's code, which their own tests bring."""
NAMES = sorted(set(REWARDS) - ELSEWHERE)
TEXTS = (
    "", " ", "<answer>", "<answer>3</answer>", "<think>a</think><answer>3</answer>", "\ud800\x00",
    "<think>" * 3000, "3" * 9000, "<parallel><path>", "<tool_call>{", "\u202e3", "{}[]()\\frac{",
    "<answer>[0, 0, 1, 1]</answer>", "<answer>0-5</answer>", "<answer>(1, 2)</answer>",
)  # fmt: skip
GOLDS = (
    ("3", "number"), ("[0, 0, 2, 2]", "box"), ("0 - 5", "interval"), ("(1, 2)", "point"),
    ("red", "text"), ("B", "choice"),
)  # fmt: skip


def scoring_with(name: str) -> Scoring:
    reward = {"type": name, **SETTINGS.get(name, {})}
    return Scoring.model_validate({"rewards": [reward]})


def reward_of(name: str, text: str, gold: tuple[str, str], truncated: bool = False) -> float:
    sample = Sample(id="s", question="?", answer=gold[0], kind=gold[1])  # type: ignore[arg-type]
    completion = Completion(text=text, token_ids=(1,) * 7, truncated=truncated)
    rollout = RolloutGroup(sample=sample, completions_G=(completion,))
    return score_group(rollout, scoring_with(name), step=5).scores_G[0].reward


def test_every_reward_is_tested_here_or_named_as_asking_elsewhere() -> None:
    assert set(REWARDS) >= set(SETTINGS) | ELSEWHERE


@pytest.mark.parametrize("name", NAMES)
def test_every_reward_survives_empty_truncated_and_hostile_text(name: str) -> None:
    for gold in GOLDS:
        for text in TEXTS:
            value = reward_of(name, text, gold, truncated=True)
            assert math.isfinite(value) and value == reward_of(name, text, gold, truncated=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_reward_round_trips_through_json_and_refuses_unknown_keys(name: str) -> None:
    scoring = scoring_with(name)
    assert Scoring.model_validate_json(scoring.model_dump_json()) == scoring
    with pytest.raises(ValueError, match="colour"):
        reward = {"type": name, **SETTINGS.get(name, {}), "colour": "red"}
        Scoring.model_validate({"rewards": [reward]})


@pytest.mark.parametrize("name", NAMES)
def test_every_reward_and_setting_is_described(name: str) -> None:
    assert (REWARDS[name].__doc__ or "").strip()
    for field, info in REWARDS[name].model_fields.items():
        assert field == "type" or info.description, f"{name}.{field} has no docstring"


@settings(max_examples=60)
@given(text=st.text(max_size=80), name=st.sampled_from(NAMES))
def test_the_total_is_the_sum_of_the_named_parts(text: str, name: str) -> None:
    sample = Sample(id="s", question="?", answer="3", kind="number")
    rollout = RolloutGroup(sample=sample, completions_G=(Completion(text=text),))
    score = score_group(rollout, scoring_with(name)).scores_G[0]
    assert score.reward == pytest.approx(sum(score.rewards.values()) + score.bonus)
