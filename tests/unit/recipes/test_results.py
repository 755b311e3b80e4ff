import copy
import json

import pytest

from observe_r1.recipes import load_recipe
from observe_r1.recipes.results import (
    measured,
    read_result,
    stage_diagram,
    stage_types,
    verdict_of,
)

RESULT = {
    "title": "T", "quick": False, "method": "full",
    "claims": [{"claim": "c", "verdict": v} for v in ("holds", "does not", "holds", "not decided")],
    "arms": {
        "grpo": {"seeds": [0, 1], "mean": {"accuracy": 0.4}},
        "full": {"seeds": [0, 1], "mean": {"accuracy": 0.5, "length": 31.2, "seconds": 120.0}},
    },
}  # fmt: skip


def test_the_methods_own_arm_and_its_verdicts(tmp_path):
    (tmp_path / "ton.json").write_text(json.dumps(RESULT))
    found = measured("ton", tmp_path)
    assert found is not None
    assert (found.accuracy, found.length, found.rollouts, found.seconds) == (0.5, 31.2, None, 120.0)
    assert found.said == "holds (of 4: 2 hold, 1 do not, 1 not decided)"
    assert found.seeds == 2


@pytest.mark.parametrize(
    ("on_gpu", "shown"), [({}, "2.0"), ({"on_gpu": 1.0}, "2.0 (GPU)"), ({"on_gpu": 0.4}, "-")]
)
def test_minutes_say_whose_they_are(on_gpu, shown, tmp_path):
    result = copy.deepcopy(RESULT)
    result["arms"]["full"]["mean"] |= on_gpu
    (tmp_path / "ton.json").write_text(json.dumps(result))
    assert measured("ton", tmp_path).minutes == shown


def test_what_was_not_run_is_none(tmp_path):
    assert measured("ton", tmp_path) is None
    assert read_result("ton", tmp_path) is None


def test_what_has_no_experiment_is_not_said_to_be_run_yet(tmp_path):
    assert verdict_of("dr_grpo", None, ["ton"]) == "no experiment"
    assert verdict_of("ton", None, ["ton"]) == "not run yet"
    (tmp_path / "ton.json").write_text(json.dumps(RESULT))
    assert verdict_of("ton", measured("ton", tmp_path), ["ton"]).startswith("holds")


def test_diagrams():
    assert stage_types(load_recipe("specs")) == "rl → sample → sample → dpo → rl"
    assert stage_diagram(load_recipe("ton")) == "thoughts (sample, from base) → sft → rl"
    assert stage_types(load_recipe("rewarm")) == "teach → sft"  # a stage left out is not shown
