import json
import struct

import pytest

from observe_r1.recipes import load_recipe
from observe_r1.recipes.estimate import estimate
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.model_size import billions_of_parameters
from observe_r1.recipes.resolve import Choice, resolve


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3.0),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 7.0),
        ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", 0.5),
        ("org/model-v2", None),
    ],
)
def test_a_size_in_a_name(name, billions):
    assert billions_of_parameters(name) == billions


def test_a_size_in_files(tmp_path):
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [1000, 500], "data_offsets": [0, 0]}}
    ).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert billions_of_parameters(str(tmp_path)) == pytest.approx(0.0005)


def test_a_broken_file_does_not_stop_an_estimate(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    assert billions_of_parameters(str(tmp_path)) is None


def run_of(model: str, *overrides: str):
    choice = Choice(model=model, data="folder", overrides=overrides)
    return resolve(load_recipe("observe_r1"), choice, Machine())


def test_steps_and_tokens_of_the_papers_run():
    run = run_of("Qwen/Qwen2.5-VL-3B-Instruct")
    sizes = estimate(run, run.stages[0], run.model, num_samples=20_000)
    assert sizes.steps == 157  # 156 whole batches and the rest
    assert sizes.completions_per_step == 1024
    assert sizes.max_generated_tokens_per_step == 1024 * 8192


def test_full_training_in_half_precision_holds_eighteen_bytes_a_parameter():
    run = run_of("Qwen/Qwen2.5-VL-3B-Instruct")
    sizes = estimate(run, run.stages[0], run.model, num_samples=None)
    memory = sizes.memory_gb
    assert memory is not None
    # Weights in two bytes; gradients, the float32 copy and two moments in four each.
    held = memory["weights"] + memory["gradients"] + memory["optimizer"]
    assert held == pytest.approx(18 * 3.754622976)
    assert sizes.total_memory_gb is not None
    assert sizes.steps is None


def test_a_reference_model_is_counted_when_a_kl_term_needs_it():
    run = run_of("Qwen/Qwen2.5-VL-3B-Instruct", "rl.loss.kl.coefficient=0.01")
    memory = estimate(run, run.stages[0], run.model, None).memory_gb
    assert memory is not None
    assert memory["reference"] == pytest.approx(2 * 3.754622976)


def test_an_unknown_size_is_not_guessed():
    run = run_of("org/model-v2")
    assert estimate(run, run.stages[0], run.model, None).memory_gb is None
