"""Probe throughput on a CPU: our engine against ``model.generate(num_return_sequences=8)``.

    python benchmarks/probe.py --samples 8

The same random Qwen2.5-VL, prompts, pictures (144 image tokens) and sampling in one run, in turns;
tokens a CPU second of each, and the ratio of the medians. Wanted: 3 or more at 32 new tokens.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        samples.append(
            Sample(
                id=f"s{number}",
                question="How many red squares are there?",
                answer="3",
                kind="number",
                images=(buffer.getvalue(),),
            )
        )
    return samples


def plain_generate(model: Any, processor: Any, samples: list[Sample], new_tokens: int) -> int:
    """What a script without an engine does: one prompt after the other, eight sequences each."""
    tokens = 0
    for sample in samples:
        content = [{"type": "image"}, {"type": "text", "text": sample.question}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        images = [Image.open(io.BytesIO(image)) for image in sample.images]
        inputs = processor(text=[text], images=images, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(
                **inputs,
                do_sample=True,
                num_return_sequences=ROLLOUTS,
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
            )
        tokens += ROLLOUTS * (out.shape[1] - inputs["input_ids"].shape[1])
    return tokens


def timed(work: Callable[[], int]) -> float:
    """Tokens a CPU second: other work on the machine does not change it."""
    start = time.process_time()
    return work() / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    arguments = parser.parse_args()

    processor = fakes.byte_processor()
    size = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    processor.image_processor.size = size
    model = fakes.tiny_model(hidden=arguments.hidden, layers=arguments.layers)
    samples = make_samples(arguments.samples)
    sampling = Sampling(max_new_tokens=arguments.new_tokens)

    def shared() -> int:
        # A new policy each time: its encoder would otherwise have kept the prompts.
        engine = SharedPrefillEngine(make_policy(model, processor, PolicyConfig(), source="random"))
        groups = engine.generate(
            samples, group_size=ROLLOUTS, sampling=sampling, system_prompt="", seed=0
        )
        return sum(c.num_tokens for group in groups for c in group.completions_G)

    def plain() -> int:
        return plain_generate(model, processor, samples, arguments.new_tokens)

    rates: dict[str, list[float]] = {"shared": [], "plain": []}
    for _ in range(arguments.repeats + 1):  # the first round warms up and is not counted
        rates["shared"].append(timed(shared))
        rates["plain"].append(timed(plain))
    medians = {name: statistics.median(found[1:]) for name, found in rates.items()}
    num_parameters = sum(p.numel() for p in model.parameters())
    print(f"{num_parameters / 1e6:.1f} M parameters, {arguments.samples} prompts × {ROLLOUTS}, "
          f"{arguments.new_tokens} new tokens, 144 image tokens")  # fmt: skip
    print(f"built-in engine {medians['shared']:.0f} tokens a CPU second")
    print(f"model.generate  {medians['plain']:.0f} tokens a CPU second")
    print(f"ratio {medians['shared'] / medians['plain']:.2f}")


if __name__ == "__main__":
    main()
