"""Rollouts on a CPU: the built-in engine against the real vLLM, same weights, prompts and lengths.

    make test-vllm                                        # builds .venv-vllm
    .venv-vllm/bin/python benchmarks/vllm_rollout.py [--tokens 16 64] [--compile] [--json]

A random Qwen2.5-VL of 7.6 million parameters, 4 prompts with one new picture of 144 image tokens
each time, 8 completions each; both engines in this process with as many threads, in turns. Medians
of wall time; starting vLLM is shown apart and not counted. ``--compile`` lets vLLM compile.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from observe_r1.process import settle_process

settle_process()  # as the command line does

import torch
from step import GROUP, PROMPTS, QUESTION, SIDE, SYSTEM, build_model, processor

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import VLLM, Sampling
from observe_r1.policy.load import load_policy
from observe_r1.rollout.base import RolloutEngine
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.rollout.vllm import VLLMEngine
from observe_r1.types import Sample


def make_samples(number: int) -> list[Sample]:
    """New pictures each time: neither engine may remember one."""
    return [
        Sample(id=f"{number}-{n}", question=QUESTION, answer="3", kind="number",
               images=(fakes.picture((number % 256, 40 * n, 90), (SIDE, SIDE)),))
        for n in range(PROMPTS)
    ]  # fmt: skip


def rollout(engine: RolloutEngine, number: int, tokens: int) -> tuple[float, int, int]:
    """Seconds, tokens drawn, and tokens of one prompt."""
    samples, started = make_samples(number), time.perf_counter()
    groups = engine.generate(
        samples, group_size=GROUP, sampling=Sampling(max_new_tokens=tokens), system_prompt=SYSTEM,
        seed=number,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    drawn = sum(c.num_tokens for group in groups for c in group.completions_G)
    return seconds, drawn, len(groups[0].prompt_ids)


def measure(engines: dict[str, RolloutEngine], tokens: int, repeats: int) -> dict[str, float]:
    """Medians of every engine, in turns; the first turn warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(repeats + 1):
        for place, (name, engine) in enumerate(engines.items()):
            spent, drawn, _ = rollout(engine, 1000 * tokens + 2 * number + place, tokens)
            if number:
                seconds[name].append(spent)
                rates[name].append(drawn / spent)
    found: dict[str, float] = {"tokens": tokens}
    for name in engines:
        found[f"{name} seconds"] = statistics.median(seconds[name])
        found[f"{name} tokens a second"] = statistics.median(rates[name])
    found["built-in / vllm"] = found["built-in tokens a second"] / found["vllm tokens a second"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="let vLLM compile its model")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        build_model().save_pretrained(folder)
        processor().save_pretrained(folder)
        policy = load_policy(folder, PolicyConfig())
        started = time.perf_counter()
        vllm = VLLMEngine(policy, VLLM(enforce_eager=not arguments.compile, max_model_length=2048))
        start_seconds = time.perf_counter() - started
        engines: dict[str, RolloutEngine] = {
            "built-in": SharedPrefillEngine(policy), "vllm": vllm,
        }  # fmt: skip
        results = [measure(engines, tokens, arguments.repeats) for tokens in arguments.tokens]
        prompt_tokens = rollout(engines["built-in"], 0, 1)[2]
        vllm.close()
    millions = sum(p.numel() for p in policy.packed.parameters()) / 1e6
    print(f"{millions:.1f} M parameters, {PROMPTS} prompts of {prompt_tokens} tokens × {GROUP}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    print(f"vLLM started in {start_seconds:.1f} s{' and compiled' if arguments.compile else ''}")
    for found in results:
        for name, value in found.items():
            print(f"{name:28s} {value:10.3f}")
        print()
    if arguments.json:
        print(json.dumps({"start_seconds": start_seconds, "results": results}))


if __name__ == "__main__":
    main()
