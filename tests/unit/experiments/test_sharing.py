"""Stages that arms have in common are run once; what is linked is what would have been computed."""

import json

import pytest

from observe_r1.experiments.costs import Costs, costs_of
from observe_r1.experiments.plan import load_experiment
from observe_r1.experiments.sharing import begin, publish, stage_keys
from observe_r1.experiments.trial import resolve_trial
from observe_r1.records import append_rows, read_rows, write_json

TON = load_experiment("ton")


def run_of(arm: str, seed: int = 3):
    return resolve_trial(TON, TON.arm(arm), seed, model="tiny", data="puzzles")


@pytest.fixture
def finished(tmp_path):
    """A trial of arm ``ton`` whose first two stages have come to their end."""
    out = tmp_path / "ton" / "seed-3"
    publish(run_of("ton"), out)
    for name in ("1-thoughts", "2-sft"):
        (out / name / "checkpoints" / "step-1").mkdir(parents=True)
        (out / name / "checkpoints" / "step-1" / "weights").write_text(name)
        (out / name / "checkpoints" / "latest").symlink_to("step-1")
        append_rows(out / name / "metrics.jsonl", [{"tokens/computed": 5.0, "timing/step": 1.0}])
        write_json(out / name / "done.json", {})
    return out


def test_arms_share_keys_as_far_as_they_are_alike(tmp_path):
    keys = {arm: stage_keys(run_of(arm), tmp_path) for arm in ("ton", "constant_length", "grpo")}
    assert keys["ton"].keys() == {"1-thoughts", "2-sft"}  # the last stage is never shared
    assert keys["ton"] == keys["constant_length"]  # they differ in RL alone
    assert keys["ton"]["1-thoughts"] == keys["grpo"]["1-thoughts"]
    assert keys["ton"]["2-sft"] != keys["grpo"]["2-sft"]
    assert stage_keys(run_of("ton", seed=4), tmp_path) != keys["ton"]


def test_what_another_arm_has_finished_is_linked(tmp_path, finished):
    out = tmp_path / "constant_length" / "seed-3"
    assert begin(run_of("constant_length"), out, [finished])
    linked = out / "2-sft" / "checkpoints" / "latest" / "weights"
    assert linked.read_text() == "2-sft"
    assert linked.samefile(finished / "2-sft" / "checkpoints" / "step-1" / "weights")
    assert json.loads((out / "config.json").read_text())["recipe"] == "ton"


def test_only_the_equal_beginning_is_taken(tmp_path, finished):
    out = tmp_path / "grpo" / "seed-3"
    assert begin(run_of("grpo"), out, [tmp_path / "nothing", finished])
    assert sorted(p.name for p in out.glob("*-*")) == ["1-thoughts"]


def test_a_stage_that_is_not_done_is_not_taken(tmp_path, finished):
    (finished / "1-thoughts" / "done.json").unlink()
    out = tmp_path / "constant_length" / "seed-3"
    assert not begin(run_of("constant_length"), out, [finished])
    assert not out.exists()


def test_a_trial_that_has_begun_is_left_alone(tmp_path, finished):
    out = tmp_path / "constant_length" / "seed-3"
    out.mkdir(parents=True)
    (out / "config.json").write_text("{}")
    assert begin(run_of("constant_length"), out, [finished])
    assert list(out.iterdir()) == [out / "config.json"]


def test_costs_count_in_every_arm_that_uses_them(tmp_path, finished):
    out = tmp_path / "constant_length" / "seed-3"
    begin(run_of("constant_length"), out, [finished])
    (out / "3-rl").mkdir()
    rows = [{"tokens/generated": 40.0, "tokens/computed": 60.0, "length": 4.0, "timing/step": 2.0}]
    append_rows(out / "3-rl" / "metrics.jsonl", rows)
    # A solver's traces are free; the cold start is linked and paid for.
    assert costs_of(out) == Costs(
        generated=40.0, updated=65.0, rollouts=10.0, seconds=4.0, taught=0.0
    )
    assert len(list(read_rows(finished / "2-sft" / "metrics.jsonl"))) == 1
