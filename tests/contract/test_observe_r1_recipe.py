"""What ``observe_r1`` means. These values are relied on: changing one is a decision, not a fix."""

import pytest

from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve


def stage_of(preset: str, model: str = "Qwen/Qwen2.5-VL-3B-Instruct"):
    choice = Choice(model=model, data="folder", preset=preset)
    run = resolve(load_recipe("observe_r1"), choice, Machine(), lambda percent: 24.0)
    (stage,) = run.stages
    return stage


def test_rewards_and_bonus():
    stage = stage_of("full")
    assert [(r.type, r.weight) for r in stage.rewards] == [("accuracy", 1.0), ("format", 0.5)]
    assert (stage.bonus.type, stage.bonus.coefficient, stage.bonus.floor) == ("shortest", 0.2, 100)
    assert stage.bonus.when == "before"
    assert stage.grammar == "observe_think_answer"


def test_advantage_weight_and_admission():
    stage = stage_of("full")
    assert stage.advantage.type == "group_mean_std"
    assert (stage.advantage.unbiased, stage.advantage.epsilon) == (True, 1e-9)
    assert (stage.weight.type, stage.weight.sigma, stage.weight.normalise) == (
        "uncertainty",
        1.8,
        False,
    )
    assert stage.admission.type == "all"
    assert stage.redraw.max_rounds == 0


def test_loss_and_order():
    stage = stage_of("full")
    assert stage.loss.type == "clipped"
    assert (stage.loss.clip_low, stage.loss.clip_high) == (0.2, 0.2)
    assert stage.loss.reduction == "token_mean"
    assert stage.loss.kl.coefficient == 0.0
    assert stage.curriculum.type == "ladder"


def test_full_scale():
    stage = stage_of("full")
    assert (stage.prompts_per_step, stage.group_size) == (128, 8)
    assert stage.optimizer.updates_per_rollout == 16
    assert (stage.optimizer.lr, stage.optimizer.schedule) == (1e-6, "cosine")
    assert not stage.policy.freeze_vision


def test_the_tiny_preset_takes_its_floor_from_the_probe_and_one_update_a_rollout():
    stage = stage_of("tiny", "tiny")
    assert stage.bonus.floor == 24
    assert stage.bonus.coefficient == 0.2
    assert stage.optimizer.updates_per_rollout == 1
    assert stage.weight.sigma == 1.8


def test_released_does_what_the_released_code_does():
    stage = stage_of("released")
    kl = stage.loss.kl
    assert (kl.coefficient, kl.estimator, kl.place) == (0.01, "k1", "reward")
    assert (stage.bonus.type, stage.weight.type) == ("released", "released_uncertainty")


@pytest.mark.parametrize(
    ("model", "machine", "hardware"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", Machine(8, 80.0, "A100"), "8x80gb-full-3b"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", Machine(8, 80.0, "A100"), "8x80gb-full-7b"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", Machine(1, 141.0, "H200"), "1x141gb-full-3b"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", Machine(1, 141.0, "H200"), "1x141gb-lora-7b"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", Machine(1, 80.0, "H100"), "1x80gb-lora-3b"),
        ("Qwen/Qwen3-VL-8B-Instruct", Machine(1, 80.0, "H100"), "1x80gb-lora-7b"),
        ("Qwen/Qwen3-VL-4B-Instruct", Machine(8, 80.0, "H100"), "8x80gb-full-3b"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", Machine(), None),
        ("some/model-without-a-size", Machine(8, 80.0, "A100"), None),
    ],
)
def test_the_machine_preset_is_chosen_by_model_and_machine(model, machine, hardware):
    run = resolve(load_recipe("observe_r1"), Choice(model=model, data="folder"), machine)
    assert run.hardware == hardware
    assert run.stages[0].completions_per_step == 1024
