"""The plan against what others have measured and published; sources in ``gpus.toml``."""

import json
from pathlib import Path

import pytest

from observe_r1.config.stages import RLStage
from observe_r1.errors import ConfigError
from observe_r1.recipes.plan.devices import all_gpus, find_gpu
from observe_r1.recipes.plan.seconds import Layout, StepClock
from observe_r1.recipes.plan.shapes import ModelShape, Tower, find_shape
from observe_r1.recipes.plan.workload import Lengths, workload_of


def text_model(layers, hidden, inner, query, key, vocabulary, tied):
    tower = Tower(layers=layers, hidden=hidden, inner=inner, query=query, key=key)
    return ModelShape(name="text", language=tower, vocabulary=vocabulary, tied=tied)


QWEN2_HALF = text_model(24, 896, 4864, 896, 128, 151_936, True)
QWEN2_ONE = text_model(28, 1536, 8960, 1536, 256, 151_936, True)
QWEN2_SEVEN = text_model(28, 3584, 18_944, 3584, 512, 152_064, False)
LLAMA_EIGHT = text_model(32, 4096, 14_336, 4096, 1024, 128_256, False)


def stage(**changes):
    values = {"prompts_per_step": 1, "group_size": 2, "engine": {"type": "vllm"},
              "policy": {"dtype": "bfloat16"}, "sampling": {"max_new_tokens": 2048}}  # fmt: skip
    return RLStage.build(values | changes, "test")


def clock(gpu, shape, of_stage, lengths, gpus=1):
    work = workload_of(of_stage, gpus, lengths, 1.0)
    layout = Layout(gpus, 1, sharded=gpus > 1)
    return StepClock(find_gpu(gpu), shape, of_stage, work, layout)


@pytest.mark.parametrize(
    ("shape", "engine", "prompt", "published"),
    [
        (QWEN2_HALF, "vllm", 1, 270.49),
        (QWEN2_ONE, "vllm", 1, 175.55),
        (QWEN2_SEVEN, "vllm", 6144, 76.41),
        (QWEN2_SEVEN, "vllm", 14336, 66.54),
        (QWEN2_HALF, "shared_prefill", 1, 49.94),
        (QWEN2_ONE, "shared_prefill", 1, 40.89),
        (QWEN2_SEVEN, "shared_prefill", 1, 37.97),
    ],
)
def test_published_decoding_speeds_of_one_sequence_on_an_a100_are_met_within_a_quarter(
    shape, engine, prompt, published
):
    lengths = Lengths(text=prompt, image=0, completion=2048, longest=2048)
    decoding = {"type": engine} | ({"fixed_shapes": False} if engine == "shared_prefill" else {})
    found = clock("A100-80GB", shape, stage(engine=decoding), lengths)._decode_step(1)
    assert 1 / found == pytest.approx(published, rel=0.25)


def test_published_training_speed_on_eight_h100_is_met_within_a_quarter():
    # Llama 3.1 8B, FSDP, eager, two sequences of 8,192 tokens a GPU, activations of every second
    # layer computed again: 5,762 tokens a second a GPU.
    rows = stage(prompts_per_step=16, group_size=2, policy={"dtype": "bfloat16"},
                 sampling={"max_new_tokens": 4096})  # fmt: skip
    lengths = Lengths(text=0, image=0, completion=4096, longest=4096)
    phases = clock("H100", LLAMA_EIGHT, rows, lengths, gpus=8).phases()
    computing = 1.5 * phases["forward"] + phases["backward"] + phases["optimizer"]
    assert 2 * 8192 / computing == pytest.approx(5762, rel=0.25)


OURS = json.loads((Path(__file__).parents[3] / "docs/results/gpu-2026-11-27.json").read_bytes())


def of_ours(fixed_shapes=None):
    """The plan of what ``benchmarks/gpu.py`` does."""
    size, found = OURS["size"], OURS["results"]
    rows = stage(prompts_per_step=size["prompts"], group_size=size["group"],
                 engine={"type": "shared_prefill", "fixed_shapes": fixed_shapes},
                 policy={"dtype": "bfloat16", "gradient_checkpointing": True},
                 sampling={"max_new_tokens": size["new_tokens"]})  # fmt: skip
    image = size["side"] ** 2
    lengths = Lengths(text=found["update: prompt tokens"] - image, image=image,
                      completion=size["new_tokens"], longest=size["new_tokens"])  # fmt: skip
    return clock("H200", find_shape("Qwen2.5-VL-3B"), rows, lengths).phases()


def test_our_own_update_on_an_h200_is_met_within_a_quarter():
    phases = of_ours()
    found = phases["forward"] + phases["backward"] + phases["optimizer"]
    assert found == pytest.approx(OURS["results"]["update: seconds"], rel=0.25)


@pytest.mark.parametrize(("name", "fixed"), [("recorded", None), ("as it is", False)])
def test_our_own_rollouts_on_an_h200_are_met_within_a_quarter(name, fixed):
    phases, size = of_ours(fixed), OURS["size"]
    tokens = size["prompts"] * size["group"] * size["new_tokens"]
    found = tokens / (phases["encode images"] + phases["prompts"] + phases["decode"])
    assert found == pytest.approx(OURS["results"][f"rollout: tokens a second, {name}"], rel=0.25)


@pytest.mark.parametrize(
    "written", ["h100", "H100", "H100-80GB", "NVIDIA H100 80GB HBM3", "h100-sxm"]
)
def test_a_gpu_is_found_however_it_is_written(written):
    assert find_gpu(written).name == "H100"


def test_an_unknown_gpu_says_what_there_is():
    with pytest.raises(ConfigError, match=r"'V100' is not on the list.*'measured' measures"):
        find_gpu("V100")


def test_every_gpu_says_where_its_numbers_are_from():
    for gpu in all_gpus():
        assert gpu.source.startswith("https://")
        assert gpu.tflops > gpu.float32_tflops
