"""A whole training step, ours against TRL's GRPOTrainer: same model, images, prompts and lengths.

    python benchmarks/step.py [--tokens 64 16] [--repeats 3] [--equal] [--json]

Both sides start from the same random 7.6-million-parameter Qwen2.5-VL: 4 prompts with one picture
of 144 image tokens, 8 completions each, no KL, one update, vision trained in both. No end token is
ever sampled, so every completion has the same length. Runs are interleaved, medians are shown.
Beside it: ours with a frozen vision tower, and ours with half of the groups without signal; the
smallest and largest step of each; and how often tokens and images are computed.

Each side has a process of its own, ours as ``observe-r1 train`` settles it, TRL's as Python starts
it. ``--equal`` settles TRL's as well (``observe_r1/process.py``), which no script of TRL does.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fakes
from observe_r1.config.loss import ClippedLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.policy.load import make_policy
from observe_r1.process import settle_process
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.train.optimise import Optimiser
from observe_r1.types import Sample, Score, ScoredGroup, WeightedGroup

Step = Callable[[int], dict[str, float]]
"""Takes a step, by its number, and says what it took."""

PROMPTS, GROUP, SIDE = 4, 8, 336
SYSTEM = "Look, think, answer."
QUESTION = "How many red squares are there?"


def build_model() -> Any:
    """A Qwen2.5-VL of about 7.6 million parameters over a byte vocabulary."""
    text = {
        "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 7,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 4096,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
    }  # fmt: skip
    vision = {
        "depth": 4, "hidden_size": 128, "intermediate_size": 344, "num_heads": 4,
        "out_hidden_size": 256, "patch_size": 14, "spatial_merge_size": 2, "window_size": 112,
        "fullatt_block_indexes": [3],
    }  # fmt: skip
    return random_model(text, vision)


def random_model(text: dict[str, Any], vision: dict[str, Any]) -> Any:
    """A Qwen2.5-VL of these sizes with random weights, over the byte vocabulary's special tokens;
    of torch's default dtype and device."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    token = fakes.byte_tokenizer().convert_tokens_to_ids
    end, pad = token("<|im_end|>"), token("<|endoftext|>")
    tied = {"tie_word_embeddings": True}
    special = {"bos_token_id": None, "eos_token_id": end, "pad_token_id": pad}
    config = Qwen2_5_VLConfig(
        text_config={**text, **tied, **special}, vision_config=vision, **tied,
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    return model


def processor() -> Any:
    """Pictures up to 336 pixels a side, 144 image tokens."""
    made = fakes.byte_processor()
    made.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    return made


def pictures(step: int) -> list[bytes]:
    """New ones every step, so that nothing is remembered from the one before."""
    return [fakes.picture((step % 256, 40 * n, 90), (SIDE, SIDE)) for n in range(PROMPTS)]


def our_step(tokens: int, *, silent: int = 0, **settings: Any) -> Step:
    policy = make_policy(build_model(), processor(), PolicyConfig(**settings), source="benchmark")
    policy = replace(policy, end_ids=())
    engine, sampling = SharedPrefillEngine(policy), Sampling(max_new_tokens=tokens)
    optimiser = Optimiser(
        policy, loss=ClippedLoss(reduction="token_mean"), optimizer=OptimizerConfig(lr=1e-6),
        sampling=sampling, system_prompt=SYSTEM, total_updates=1000,
    )  # fmt: skip

    def step(number: int) -> dict[str, float]:
        samples = [
            Sample(id=f"{number}-{n}", question=QUESTION, answer="3", kind="number", images=(data,))
            for n, data in enumerate(pictures(number))
        ]
        encoded = policy.packed.vision.num_encoded
        started = time.perf_counter()
        groups = engine.generate(
            samples, group_size=GROUP, sampling=sampling, system_prompt=SYSTEM, seed=number
        )
        generated = time.perf_counter()
        weighted = [_weigh(group, signal=n >= silent) for n, group in enumerate(groups)]
        outcome = optimiser.update(weighted)
        ended = time.perf_counter()
        return {
            "step": ended - started, "update": ended - generated,
            "tokens computed / unique": outcome.tokens_computed / outcome.tokens_unique,
            "images encoded / unique": (policy.packed.vision.num_encoded - encoded) / PROMPTS,
        }  # fmt: skip

    return step


def _weigh(group: Any, *, signal: bool) -> WeightedGroup:
    values = [1.0 if signal and n % 2 else -1.0 if signal else 0.0 for n in range(GROUP)]
    scores = tuple(Score(rewards={}, reward=v, correct=v > 0, well_formed=True) for v in values)
    return WeightedGroup(
        scored=ScoredGroup(rollout=group, scores_G=scores), advantages_G=tuple(values), weight=1.0,
        admitted=True, completion_weights_G=(1.0,) * GROUP,
    )  # fmt: skip


def trl_step(tokens: int, folder: str) -> Step:
    """One optimizer step of GRPOTrainer a call, timed from step end to step end."""
    from datasets import Dataset
    from PIL import Image
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    marks: list[float] = []

    class Mark(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            marks.append(time.perf_counter())

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            marks.append(time.perf_counter())

    def rows() -> Iterator[dict[str, Any]]:
        import io

        for number in range(PROMPTS):
            picture = Image.open(io.BytesIO(pictures(number)[number]))
            prompt = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": QUESTION},
            ]
            yield {"prompt": prompt, "image": picture}

    settings = GRPOConfig(
        output_dir=folder, per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP,
        max_completion_length=tokens, max_steps=1, beta=0.0, learning_rate=1e-6, report_to=[],
        save_strategy="no", logging_strategy="no", use_cpu=not torch.cuda.is_available(),
        bf16=False, gradient_checkpointing=False, disable_tqdm=True, loss_type="dapo",
        generation_kwargs={"min_new_tokens": tokens},
    )  # fmt: skip
    model = build_model()

    def step(number: int) -> dict[str, float]:
        marks.clear()
        trainer = GRPOTrainer(
            model=model, args=settings, train_dataset=Dataset.from_list(list(rows())),
            processing_class=processor(), callbacks=[Mark()],
            reward_funcs=lambda completions, **_: [float(n % 2) for n in range(len(completions))],
        )  # fmt: skip
        trainer.train()
        return {"step": marks[1] - marks[0]}

    return step


SIDES: dict[str, Callable[[int, str], Step]] = {
    "ours": lambda tokens, folder: our_step(tokens),
    "ours, vision frozen": lambda tokens, folder: our_step(
        tokens, freeze_vision=True, freeze_aligner=True
    ),
    "ours, half silent": lambda tokens, folder: our_step(tokens, silent=PROMPTS // 2),
    "trl": trl_step,
}


class Side:
    """A process that takes one step of its side whenever it is asked."""

    def __init__(self, name: str, tokens: int, threads: int, *, settled: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=take_steps, args=(name, tokens, threads, settled, other), daemon=True
        )
        with environment(OMP_WAIT_POLICY="PASSIVE" if settled else None):
            self.process.start()

    def step(self, number: int) -> dict[str, float]:
        self.pipe.send(number)
        return self.pipe.recv()


@contextmanager
def environment(**values: str | None) -> Iterator[None]:
    """What a process that is started meanwhile inherits; None: not set."""
    before = dict(os.environ)
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def take_steps(name: str, tokens: int, threads: int, settled: bool, pipe: Connection) -> None:
    if settled:
        settle_process()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        step = SIDES[name](tokens, folder)
        while (number := pipe.recv()) is not None:
            pipe.send(step(number))


def measure(tokens: int, repeats: int, threads: int, *, equal: bool) -> dict[str, float]:
    """Interleaved, after one step of each to warm up; medians."""
    sides = {name: Side(name, tokens, threads, settled=equal or name != "trl") for name in SIDES}
    seconds: dict[str, list[float]] = {}
    for number in range(repeats + 1):
        for name, side in sides.items():
            for part, value in side.step(number).items():
                if number:
                    seconds.setdefault(f"{name}/{part}", []).append(value)
    for side in sides.values():
        side.pipe.send(None)
        side.process.join()
    found = {name: statistics.median(values) for name, values in seconds.items()}
    for name in [name for name in seconds if name.endswith("/step")]:
        found[f"{name}, least"], found[f"{name}, most"] = min(seconds[name]), max(seconds[name])
    found["times faster than trl"] = found["trl/step"] / found["ours/step"]
    found["update, times faster half silent"] = (
        found["ours/update"] / found["ours, half silent/update"]
    )
    return {"tokens": tokens, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--equal", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = [
        measure(tokens, arguments.repeats, arguments.threads, equal=arguments.equal)
        for tokens in arguments.tokens
    ]
    for result in results:
        for name, value in result.items():
            print(f"{name:36s} {value:10.3f}")
        print()
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
