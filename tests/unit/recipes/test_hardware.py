"""Presets of machines: each fits what it is made for, and is taken there."""

import pytest

from observe_r1.recipes import load_recipe
from observe_r1.recipes.hardware import Hardware, all_hardware, choose_hardware
from observe_r1.recipes.machine import Machine, _visible, used_by_this_run
from observe_r1.recipes.plan.devices import find_gpu
from observe_r1.recipes.plan.report import Plan, make_plan
from observe_r1.recipes.plan.shapes import find_shape
from observe_r1.recipes.resolve import Choice, resolve

CARDS = {141: "H200", 80: "H100", 40: "A100-40GB", 24: "RTX-4090"}
MODELS = ("Qwen2.5-VL-3B-Instruct", "Qwen3-VL-4B-Instruct", "Qwen2.5-VL-7B-Instruct")
TRAINED = ("observe_r1", "grpo", "dapo", "vision_r1")


def plan_on(hardware: Hardware, model: str, recipe: str, *, has_vllm: bool) -> Plan:
    machine = Machine(hardware.gpus, hardware.memory_gb, "GPU", has_vllm)
    choice = Choice(model=model, data="puzzles", preset="full", hardware=hardware.name)
    stage = resolve(load_recipe(recipe), choice, machine).stages[-1]
    gpu = find_gpu(CARDS[int(hardware.memory_gb)])
    return make_plan(stage, find_shape(model), gpu, gpus=hardware.gpus)


def size(model: str) -> float:
    return find_shape(model).parameters / 1e9


@pytest.mark.parametrize("has_vllm", [True, False])
@pytest.mark.parametrize("recipe", TRAINED)
@pytest.mark.parametrize("hardware", all_hardware(), ids=lambda hardware: hardware.name)
def test_a_preset_fits_the_machine_it_is_named_after(
    hardware: Hardware, recipe: str, has_vllm: bool
) -> None:
    made_for = [m for m in MODELS if hardware.min_billions <= size(m) <= hardware.max_billions]
    assert made_for
    for model in made_for:
        plan = plan_on(hardware, model, recipe, has_vllm=has_vllm)
        assert plan.fits, (model, plan.memory.parts, plan.usable_gb)
        if not has_vllm:
            assert plan.stage.engine.type != "vllm"


@pytest.mark.parametrize(
    ("model", "machine", "name"),
    [
        ("Qwen2.5-VL-3B-Instruct", Machine(1, 25.8, "NVIDIA GeForce RTX 4090"), "1x24gb-lora-3b"),
        ("Qwen2.5-VL-3B-Instruct", Machine(1, 48.3, "NVIDIA L40S"), "1x40gb-lora-3b"),
        ("Qwen2.5-VL-7B-Instruct", Machine(2, 42.9, "NVIDIA A100-SXM4-40GB"), "1x40gb-lora-7b"),
        ("Qwen2.5-VL-3B-Instruct", Machine(1, 85.5, "NVIDIA H100 80GB HBM3"), "1x80gb-lora-3b"),
        ("Qwen2.5-VL-3B-Instruct", Machine(8, 85.5, "NVIDIA H100 80GB HBM3"), "8x80gb-full-3b"),
        ("Qwen2.5-VL-7B-Instruct", Machine(1, 25.8, "NVIDIA GeForce RTX 4090"), None),
    ],
)
def test_the_preset_of_a_machine(model: str, machine: Machine, name: str | None) -> None:
    chosen = choose_hardware(model, machine)
    assert (chosen.name if chosen else None) == name


@pytest.mark.parametrize(
    ("variables", "used"),
    [({}, 1), ({"WORLD_SIZE": "4"}, 4), ({"WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}, 8)],
)
def test_a_run_uses_a_gpu_a_process(
    variables: dict[str, str], used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert used_by_this_run(Machine(8, 80.0, "GPU")).num_gpus == used
    assert used_by_this_run(Machine()).num_gpus == 0


@pytest.mark.parametrize(
    ("shown", "count"),
    [
        (None, 3), ("", 0), ("-1", 0), ("NoDevFiles", 0), ("1", 1), ("0,2", 2), ("0,-1,1", 0),
        ("GPU-8f2a,GPU-11c0", 2), ("MIG-1,-1,MIG-2", 1),
    ],
)  # fmt: skip
def test_gpus_that_are_hidden_are_not_there(
    shown: str | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert len(_visible([("GPU", 80.0)] * 3)) == count
