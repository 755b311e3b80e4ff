"""The plan against this machine: estimated and measured seconds and memory of whole training steps.

    python benchmarks/plan_check.py                 # all cases, a few minutes on a quiet machine
    python benchmarks/plan_check.py --cases 7m      # one of them

The machine is measured first (``stages.calibrate``), then each case trains a random Qwen2.5-VL for
a few steps in a process of its own: generate, then one update. All completions are equally long.
Wanted: estimates within 25 % of what was measured. ``--clock cpu`` counts processor seconds of one
thread, for machines that do other things too.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from observe_r1.process import settle_process

WANTED = 0.25
SYSTEM = "Look, think, answer."
QUESTION = "How many red squares are there?"

CASES: dict[str, dict[str, Any]] = {
    "7m": {"hidden": 256, "inner": 688, "layers": 6, "heads": 8, "vocabulary": 4096, "vision": 128},
    "7m, 64 tokens": {"hidden": 256, "inner": 688, "layers": 6, "heads": 8, "vocabulary": 4096,
                      "vision": 128, "tokens": 64},
    "7m, vision frozen": {"hidden": 256, "inner": 688, "layers": 6, "heads": 8,
                          "vocabulary": 4096, "vision": 128, "frozen": True},
    "40m": {"hidden": 512, "inner": 1408, "layers": 10, "heads": 8, "vocabulary": 8192,
            "vision": 256},
    "40m, checkpointing": {"hidden": 512, "inner": 1408, "layers": 10, "heads": 8,
                           "vocabulary": 8192, "vision": 256, "checkpointing": True},
    "150m": {"hidden": 896, "inner": 2432, "layers": 14, "heads": 14, "vocabulary": 16384,
             "vision": 320, "prompts": 2},
}  # fmt: skip
DEFAULTS = {"tokens": 24, "prompts": 4, "group": 8, "side": 336, "frozen": False,
            "checkpointing": False}  # fmt: skip


def config_of(case: dict[str, Any]) -> dict[str, Any]:
    """A ``config.json`` of Qwen2.5-VL."""
    import fakes

    token = fakes.byte_tokenizer().convert_tokens_to_ids
    head = case["hidden"] // case["heads"]
    third = head // 2 // 3
    return {
        "model_type": "qwen2_5_vl", "tie_word_embeddings": True,
        "image_token_id": token("<|image_pad|>"), "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
        "text_config": {
            "hidden_size": case["hidden"], "intermediate_size": case["inner"],
            "num_hidden_layers": case["layers"], "num_attention_heads": case["heads"],
            "num_key_value_heads": case["heads"] // 2, "vocab_size": case["vocabulary"],
            "max_position_embeddings": 4096, "tie_word_embeddings": True, "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"), "pad_token_id": token("<|endoftext|>"),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                "mrope_section": [head // 2 - 2 * third, third, third]},
        },
        "vision_config": {
            "depth": 4, "hidden_size": case["vision"],
            "intermediate_size": 8 * (case["vision"] // 3), "num_heads": 4,
            "out_hidden_size": case["hidden"], "patch_size": 14, "spatial_merge_size": 2,
            "window_size": 112, "fullatt_block_indexes": [3],
        },
    }  # fmt: skip


def clock_of(name: str) -> Callable[[], float]:
    return time.process_time if name == "cpu" else time.perf_counter


def stage_of(case: dict[str, Any]) -> Any:
    from observe_r1.config.stages import RLStage

    return RLStage.build(
        {
            "prompts_per_step": case["prompts"], "group_size": case["group"],
            "sampling": {"max_new_tokens": case["tokens"]},
            "policy": {
                "freeze_vision": case["frozen"], "freeze_aligner": case["frozen"],
                "gradient_checkpointing": case["checkpointing"],
            },
            "loss": {"type": "clipped", "reduction": "token_mean"},
        },
        "a case",
    )  # fmt: skip


def measure(case: dict[str, Any], threads: int, clock: Callable[[], float], steps: int) -> Any:
    """Runs in a process of its own: seconds of a step's two halves, and the most memory held."""
    import torch

    torch.set_num_threads(threads)
    from dataclasses import replace

    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    import fakes
    from observe_r1.policy.load import make_policy
    from observe_r1.rollout.shared_prefill import SharedPrefillEngine
    from observe_r1.train.memory import host_bytes
    from observe_r1.train.optimise import Optimiser
    from observe_r1.types import Sample, Score, ScoredGroup, WeightedGroup

    stage = stage_of(case)
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(**config_of(case))
    config._attn_implementation = "sdpa"
    processor = fakes.byte_processor()
    processor.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": case["side"] ** 2}
    fakes.tiny_model()  # so that what Transformers loads lazily is counted before, not as memory
    before = host_bytes()
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    policy = replace(make_policy(model, processor, stage.policy, source="random"), end_ids=())
    engine = SharedPrefillEngine(policy, stage.engine)
    optimiser = Optimiser(
        policy, loss=stage.loss, optimizer=stage.optimizer, sampling=stage.sampling,
        system_prompt=SYSTEM, total_updates=1000,
    )  # fmt: skip

    def weigh(group: Any) -> Any:
        values = [1.0 if n % 2 else -1.0 for n in range(case["group"])]
        scores = tuple(Score(rewards={}, reward=v, correct=v > 0, well_formed=True) for v in values)
        return WeightedGroup(
            scored=ScoredGroup(rollout=group, scores_G=scores), advantages_G=tuple(values),
            weight=1.0, admitted=True, completion_weights_G=(1.0,) * case["group"],
        )  # fmt: skip

    def step(number: int) -> tuple[float, float]:
        pictures = [
            fakes.picture((number, 40 * n, 90), (case["side"], case["side"]))
            for n in range(case["prompts"])
        ]
        samples = [
            Sample(id=f"{number}-{n}", question=QUESTION, answer="3", kind="number", images=(data,))
            for n, data in enumerate(pictures)
        ]
        for sample in samples:
            policy.encode(sample, SYSTEM)  # pictures are decoded beside the model's work
        started = clock()
        groups = engine.generate(
            samples, group_size=case["group"], sampling=stage.sampling, system_prompt=SYSTEM,
            seed=number,
        )  # fmt: skip
        generated = clock()
        optimiser.update([weigh(group) for group in groups])
        return generated - started, clock() - generated

    step(0)
    halves = [step(number + 1) for number in range(steps)]
    prompt = policy.encode(
        Sample(id="p", question=QUESTION, answer="3", kind="number",
               images=(fakes.picture((1, 2, 3), (case["side"], case["side"])),)), SYSTEM
    )  # fmt: skip
    num_image = int((prompt.ids_L == config.image_token_id).sum())
    return {
        "generate": statistics.median(half[0] for half in halves),
        "optimise": statistics.median(half[1] for half in halves),
        "memory": (host_bytes() - before) / 1e9,
        "image": num_image,
        "text": prompt.length - num_image,
    }


def estimate(case: dict[str, Any], device: Any, measured: dict[str, Any]) -> dict[str, float]:
    from observe_r1.recipes.plan.memory import memory_of
    from observe_r1.recipes.plan.seconds import GENERATE, Layout, StepClock
    from observe_r1.recipes.plan.shapes import shape_of
    from observe_r1.recipes.plan.workload import Lengths, workload_of

    stage, shape = stage_of(case), shape_of("case", config_of(case))
    lengths = Lengths(
        text=measured["text"], image=measured["image"], completion=case["tokens"],
        longest=case["tokens"],
    )  # fmt: skip
    work = workload_of(stage, 1, lengths, 1.0)
    phases = StepClock(device, shape, stage, work, Layout()).phases()
    generate = sum(seconds for name, seconds in phases.items() if name in GENERATE)
    memory = memory_of(shape, stage, work, Layout(), device.memory_gb, 0.0)
    return {
        "generate": generate,
        "optimise": sum(phases.values()) - generate,
        "step": sum(phases.values()),
        "memory": memory.total,
        "parameters": shape.parameters / 1e6,
    }


def run_case(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", name, "--threads", str(arguments.threads),
               "--clock", arguments.clock, "--steps", str(arguments.steps)]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    settle_process()  # as the command line does
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    clock = clock_of(arguments.clock)
    if arguments.measure:
        case = DEFAULTS | CASES[arguments.measure]
        print(json.dumps(measure(case, arguments.threads, clock, arguments.steps)))
        return
    import torch

    torch.set_num_threads(arguments.threads)
    from observe_r1.stages.calibrate import calibrate

    device = calibrate(clock)
    print(
        f"{'case':22s} {'million':>8s} {'':10s} {'estimated':>10s} {'measured':>10s} {'off by':>8s}"
    )
    results, within = [], True
    for name in arguments.cases:
        case = DEFAULTS | CASES[name]
        found = run_case(name, arguments)
        expected = estimate(case, device, found)
        found["step"] = found["generate"] + found["optimise"]
        for part, unit in (("generate", "s"), ("optimise", "s"), ("step", "s"), ("memory", "GB")):
            off = expected[part] / found[part] - 1
            if part in ("step", "memory"):
                within &= abs(off) <= WANTED
            print(f"{name:22s} {expected['parameters']:8.1f} {part:10s} {expected[part]:8.3f} "
                  f"{unit:2s}{found[part]:8.3f} {unit:2s} {off:+8.0%}", flush=True)  # fmt: skip
            results.append({"case": name, "part": part, "estimated": expected[part],
                            "measured": found[part]})  # fmt: skip
    print(f"\nsteps and memory {'' if within else 'NOT all '}within {WANTED:.0%}")
    if arguments.json:
        print(json.dumps({"device": device.model_dump(), "results": results, "within": within}))


if __name__ == "__main__":
    main()
