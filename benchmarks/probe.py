"""Probe throughput on a CPU: the built-in engine and ``model.generate(num_return_sequences=8)``.

    python benchmarks/probe.py [--samples 16] [--new-tokens 32] [--json]

The same random Qwen2.5-VL, prompts, pictures and sampling in one run, in turns; nobody samples an
end token, so all completions have the same length. ``generate`` is used both ways it can be: one
prompt after the other, and all prompts in one padded batch; the ratio is to the faster of the two.
Encoding the pictures is part of the work on all sides. Medians of tokens a second of wall time.
Wanted: 3 or more at 144 image tokens and 32 new tokens.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from observe_r1.process import settle_process

settle_process()  # as the command line does

import numpy as np
import torch
from PIL import Image

from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.policy.load import make_policy
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.types import Sample

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import fakes

SIDE = 336  # 24 × 24 patches, merged two by two: 144 image tokens
ROLLOUTS = 8


def make_samples(count: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        buffer = io.BytesIO()
        noise = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, "PNG")
        question = f"How many red squares are there in row {number}?"
        samples.append(
            Sample(id=f"s{number}", question=question, answer="3", kind="number",
                   images=(buffer.getvalue(),))
        )  # fmt: skip
    return samples


def plain_generate(model: Any, processor: Any, samples: Sequence[Sample], new_tokens: int) -> int:
    """What a script without an engine does, ``samples`` in one call; tokens drawn."""
    texts, images = [], []
    for sample in samples:
        content = [{"type": "image"}, {"type": "text", "text": sample.question}]
        texts.append(
            processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
        )
        images += [Image.open(io.BytesIO(image)).convert("RGB") for image in sample.images]
    inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(
            **inputs, do_sample=True, num_return_sequences=ROLLOUTS, max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
        )  # fmt: skip
    return out.shape[0] * (out.shape[1] - inputs["input_ids"].shape[1])


def tokens_a_second(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    processor = fakes.byte_processor()
    processor.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    model = fakes.tiny_model(hidden=arguments.hidden, layers=arguments.layers)
    samples = make_samples(arguments.samples)
    sampling = Sampling(max_new_tokens=arguments.new_tokens)

    def fresh_policy() -> Any:
        """Its encoder would otherwise have kept the prompts of the turn before."""
        policy = make_policy(model, processor, PolicyConfig(), source="random")
        return replace(policy, end_ids=())

    def built_in() -> int:
        engine = SharedPrefillEngine(fresh_policy())
        groups = engine.generate(
            samples, group_size=ROLLOUTS, sampling=sampling, system_prompt="", seed=0
        )
        return sum(c.num_tokens for group in groups for c in group.completions_G)

    def one_by_one() -> int:
        return sum(plain_generate(model, processor, [s], arguments.new_tokens) for s in samples)

    def one_batch() -> int:
        return plain_generate(model, processor, samples, arguments.new_tokens)

    sides = {"built-in": built_in, "one by one": one_by_one, "one batch": one_batch}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(arguments.repeats + 1):  # the first turn warms up and is not counted
        for name, work in sides.items():
            # Plain generation must not run through our attention function, which is registered on
            # the model by the engine.
            model.model.language_model.set_attn_implementation("sdpa")
            rate = tokens_a_second(work)
            if turn:
                rates[name].append(rate)
    found = {name: statistics.median(values) for name, values in rates.items()}
    found["ratio"] = found["built-in"] / max(found["one by one"], found["one batch"])
    prompt = fresh_policy().encode(samples[0], "")
    found["image tokens"] = float((prompt.blocks_L >= 0).sum())
    found["prompt tokens"] = float(prompt.length)
    found["parameters"] = float(sum(p.numel() for p in model.parameters()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--samples", type=int, default=16, help="as many as 'data probe' asks at once"
    )
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments)
    print(
        f"{found['parameters'] / 1e6:.1f} M parameters, {arguments.samples} prompts of "
        f"{found['prompt tokens']:.0f} tokens ({found['image tokens']:.0f} of the image) × "
        f"{ROLLOUTS}, {arguments.new_tokens} new tokens, {torch.get_num_threads()} threads"
    )
    for name in ("built-in", "one by one", "one batch"):
        print(f"{name:12s} {found[name]:8.0f} tokens a second")
    print(f"ratio to the faster plain one {found['ratio']:.2f} (wanted: 3 or more)")
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
