"""One GPU: the update against TRL's, its use of the machine, rollouts with and without recordings.

    python benchmarks/gpu.py                        # one GPU of 80 GB, at most ten minutes
    python benchmarks/gpu.py --tiny --device cpu    # the same in miniature, to see that it works

A random Qwen2.5-VL of 3.75 billion parameters, P prompts with a picture of 1,296 visual tokens, G
completions of 256 tokens, full fine-tuning with the vision tower, gradient checkpointing. Both
sides compute in bfloat16 and move float32 weights: ours with float32 copies, TRL's under autocast.

    matmul     what the machine reaches on large matrix products
    gradients  the tests marked gpu: FlexAttention and batched windows against ordinary attention
    update     seconds, peak memory, and model FLOPs a second as a share of the matmul rate
    update with half kept           the same with every other layer keeping its activations
    update with activations kept    the same without gradient checkpointing, one group a pass
    update of mixed pictures        the same with pictures of which no two are of one size
    update compiled                 the same with compiled norms, MLPs and rotary functions
    trl        update, rollout and peak memory of GRPOTrainer, as Transformers' SDPA has it
    trl with batched windows        the same with our attention in its vision tower, which stands
                                    for what the flash-attn package would give it
    rollout    tokens a second, decoding replayed from a CUDA graph and not

Model FLOPs are those of one forward and backward pass over the tokens of the packed rows; what
checkpointing computes again is not counted. TRL takes one group a micro-batch, half of one where
memory does not hold that. Results go to ``docs/results/gpu-DATE.json``, in
miniature only with ``--out``. A part that fails says so, and the others go on.
"""

import argparse
import gc
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from observe_r1.process import settle_process

settle_process()  # as the command line does

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import step as small

import fakes
from observe_r1.config.loss import ClippedLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling, SharedPrefill
from observe_r1.policy.load import Policy, make_policy
from observe_r1.policy.windows import batch_windows
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.train.optimise import Optimiser
from observe_r1.types import Completion, RolloutGroup, Sample, Score, ScoredGroup, WeightedGroup

ROOT = Path(__file__).parents[1]
PIXELS_A_TOKEN = 28
"""A visual token stands for so many pixels along each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    prompts: int
    group: int
    new_tokens: int
    side: int
    """Of a picture, in visual tokens."""
    dtype: str
    matmul: int
    repeats: int


LARGE = Size(prompts=4, group=8, new_tokens=256, side=36, dtype="bfloat16", matmul=8192, repeats=3)
MINIATURE = Size(prompts=2, group=4, new_tokens=8, side=4, dtype="float32", matmul=512, repeats=2)


class Bench:
    """One machine, one size; every part builds what it needs and leaves nothing."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size = size
        self.device = device
        self.sampling = Sampling(max_new_tokens=size.new_tokens)
        self.mixed = False
        """Whether pictures are of different sizes; at most so large as otherwise."""

    def policy(
        self, *, checkpointing: bool = True, compiled: bool = False, every: int = 1
    ) -> Policy:
        settings = PolicyConfig(
            dtype=self.size.dtype, gradient_checkpointing=checkpointing, compile_layers=compiled,
            max_tokens_per_microbatch=16384 if checkpointing else 4096, checkpoint_every=every,
        )  # fmt: skip
        model = self.model(getattr(torch, self.size.dtype))
        made = make_policy(model, self.processor(), settings, source="benchmark")
        return replace(made, end_ids=())  # no end token: every completion has the same length

    def model(self, dtype: torch.dtype) -> Any:
        if self.size == MINIATURE:
            return small.build_model().to(self.device, dtype)
        return random_3b(self.device, dtype)

    def processor(self) -> Any:
        made = fakes.byte_processor()
        longest = (self.size.side * PIXELS_A_TOKEN) ** 2
        made.image_processor.size = {"shortest_edge": PIXELS_A_TOKEN**2, "longest_edge": longest}
        return made

    def picture(self, number: int) -> bytes:
        half = max(1, self.size.side // 2)
        less = (number % min(7, half), number % min(5, half)) if self.mixed else (0, 0)
        size = tuple((self.size.side - tokens) * PIXELS_A_TOKEN for tokens in less)
        return fakes.picture((number % 256, 40 * number % 256, 90), size)

    def samples(self, number: int) -> list[Sample]:
        """New pictures each time, so that nothing is remembered."""
        places = range(number * self.size.prompts, (number + 1) * self.size.prompts)
        return [
            Sample(id=f"q-{n}", question=small.QUESTION, answer="3", kind="number",
                   images=(self.picture(n),))
            for n in places
        ]  # fmt: skip

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any]) -> float:
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def forget_peak(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> dict[str, float]:
        """The most memory held since ``forget_peak``; unknown on a CPU."""
        if self.device.type != "cuda":
            return {}
        return {"peak GiB": torch.cuda.max_memory_allocated() / 2**30}

    # --- parts ---

    def matmul(self) -> dict[str, float]:
        size, dtype = self.size.matmul, getattr(torch, self.size.dtype)
        left, right = (torch.randn(size, size, dtype=dtype, device=self.device) for _ in "ab")
        times = [self.timed(lambda: left @ right) for _ in range(12)][2:]
        return {"TFLOPS": 2 * size**3 / statistics.median(times) / 1e12}

    def gradients(self) -> dict[str, Any]:
        """In a process of its own, whose memory is gone afterwards."""
        folder = ROOT / "tests" / "parity"
        files = [p for p in sorted(folder.glob("test_*.py")) if "pytest.mark.gpu" in p.read_text()]
        # Other versions warn of other things, and plugins of the machine bring their own.
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-W", "default", *files]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )  # fmt: skip
        lines = done.stdout.strip().splitlines()
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-2000:], file=sys.stderr)
        return {"tests": lines[-1] if lines else done.stderr[-200:], "status": done.returncode}

    def update(self) -> dict[str, float]:
        return self.updates(self.policy())

    def update_with_activations_kept(self) -> dict[str, float]:
        return self.updates(self.policy(checkpointing=False))

    def update_with_half_kept(self) -> dict[str, float]:
        """Every other layer keeps its activations."""
        return self.updates(self.policy(every=2))

    def update_compiled(self) -> dict[str, float]:
        return self.updates(self.policy(compiled=True)) | compiler_limits()

    def update_compiled_with_half_kept(self) -> dict[str, float]:
        return self.updates(self.policy(compiled=True, every=2)) | compiler_limits()

    def update_of_mixed_pictures(self) -> dict[str, float]:
        """No two pictures are of one size, so that every pass has new shapes."""
        self.mixed = True
        return self.updates(self.policy())

    def updates(self, policy: Policy) -> dict[str, float]:
        optimiser = Optimiser(
            policy, loss=ClippedLoss(reduction="token_mean"), optimizer=OptimizerConfig(lr=1e-6),
            sampling=self.sampling, system_prompt=small.SYSTEM, total_updates=1000,
        )  # fmt: skip
        optimiser.rehearses = False  # the batches are the worst case
        self.ask(SharedPrefillEngine(policy), self.samples(0)[:1], 0)  # as training does, first
        self.forget_peak()
        times = []
        computed = unique = 0
        for number in range(self.size.repeats + 2):
            groups = [self.drawn(policy, sample) for sample in self.samples(number)]
            for group in groups:  # pictures are prepared by the CPU, before the clock runs
                policy.encode(group.scored.sample, small.SYSTEM)
            outcomes: list[Any] = []
            times.append(self.timed(lambda: outcomes.append(optimiser.update(groups))))  # noqa: B023
            computed, unique = outcomes[0].tokens_computed, outcomes[0].tokens_unique
        seconds = statistics.median(times[2:])
        if self.mixed:
            return {"seconds": seconds, "seconds of the first": times[0], **self.peak()}
        length = policy.encode(self.samples(0)[0], small.SYSTEM).length
        flops = self.size.prompts * group_flops(policy.model, length, self.size)
        return {
            "seconds": seconds, "seconds of the first": times[0],
            "tokens computed / unique": computed / unique, "prompt tokens": length,
            "model TFLOP": flops / 1e12, "model TFLOPS": flops / seconds / 1e12, **self.peak(),
        }  # fmt: skip

    def drawn(self, policy: Policy, sample: Sample) -> WeightedGroup:
        """A group of random tokens, half of them right."""
        size = self.size
        torch.manual_seed(len(sample.id))
        ids = torch.randint(0, 200, (size.group, size.new_tokens)).tolist()
        completions = tuple(Completion(text="", token_ids=tuple(row)) for row in ids)
        values = [1.0 if n % 2 else -1.0 for n in range(size.group)]
        scores = tuple(Score(rewards={}, reward=v, correct=v > 0, well_formed=True) for v in values)
        rollout = RolloutGroup(sample=sample, completions_G=completions, step=0)
        return WeightedGroup(
            scored=ScoredGroup(rollout=rollout, scores_G=scores), advantages_G=tuple(values),
            weight=1.0, admitted=True, completion_weights_G=(1.0,) * size.group,
        )  # fmt: skip

    def rollout(self) -> dict[str, float]:
        policy = self.policy()
        found: dict[str, float] = {}
        for name, fixed in (("recorded", True), ("as it is", False)):
            engine = SharedPrefillEngine(policy, SharedPrefill(fixed_shapes=fixed))
            self.forget_peak()
            rates = []
            for number in range(self.size.repeats + 1):
                samples = self.samples(100 + number)
                for sample in samples:
                    policy.encode(sample, small.SYSTEM)
                seconds = self.timed(lambda: self.ask(engine, samples, 0))  # noqa: B023
                rates.append(self.num_drawn / seconds)
            found[f"tokens a second, {name}"] = statistics.median(rates[1:])
        return found | self.peak()

    def ask(self, engine: SharedPrefillEngine, samples: Sequence[Sample], seed: int) -> None:
        engine.generate(
            samples, group_size=self.size.group, sampling=self.sampling,
            system_prompt=small.SYSTEM, seed=seed,
        )  # fmt: skip

    @property
    def num_drawn(self) -> int:
        return self.size.prompts * self.size.group * self.size.new_tokens

    def trl(self) -> dict[str, float]:
        """Steps of GRPOTrainer; the rollout is timed apart."""
        return self.trl_timed(self.model(torch.float32))

    def trl_with_batched_windows(self) -> dict[str, float]:
        model = self.model(torch.float32)
        batch_windows(model)
        return self.trl_timed(model)

    def trl_timed(self, model: Any) -> dict[str, float]:
        for rows in (self.size.group, self.size.group // 2):
            self.forget_peak()
            try:
                with tempfile.TemporaryDirectory() as folder:
                    steps, rollouts = self.trl_steps(model, folder, rows)
                break
            except torch.OutOfMemoryError:
                if rows < self.size.group:
                    raise
            model.zero_grad(set_to_none=True)
        updates = [a - b for a, b in zip(steps, rollouts, strict=True)][1:]
        return {
            "update seconds": statistics.median(updates), "rows a micro-batch": rows,
            "rollout tokens a second": self.num_drawn / statistics.median(rollouts[1:]),
            **self.peak(),
        }  # fmt: skip

    def trl_steps(self, model: Any, folder: str, rows: int) -> tuple[list[float], list[float]]:
        from datasets import Dataset
        from transformers import TrainerCallback
        from trl import GRPOConfig, GRPOTrainer

        bench, steps, rollouts = self, [], []

        class Timed(GRPOTrainer):
            def _generate_and_score_completions(self, inputs: Any) -> Any:
                made: list[Any] = []
                ask = super()._generate_and_score_completions
                rollouts.append(bench.timed(lambda: made.append(ask(inputs))))
                if bench.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()  # what counts is the update's
                return made[0]

        class Mark(TrainerCallback):
            started = 0.0

            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                bench.wait()
                self.started = time.perf_counter()

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                bench.wait()
                steps.append(time.perf_counter() - self.started)

        size, is_half = self.size, self.size.dtype == "bfloat16"
        settings = GRPOConfig(
            output_dir=folder, per_device_train_batch_size=rows, num_generations=size.group,
            gradient_accumulation_steps=size.prompts * size.group // rows,
            max_completion_length=size.new_tokens, max_steps=3, beta=0.0, learning_rate=1e-6,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            use_cpu=self.device.type == "cpu", bf16=is_half, gradient_checkpointing=True,
            loss_type="dapo", generation_kwargs={"min_new_tokens": size.new_tokens},
        )  # fmt: skip
        trainer = Timed(
            model=model, args=settings, processing_class=self.processor(),
            train_dataset=Dataset.from_list(list(self.trl_rows())), callbacks=[Mark()],
            reward_funcs=lambda completions, **_: [float(n % 2) for n in range(len(completions))],
        )  # fmt: skip
        trainer.train()
        return steps, rollouts

    def trl_rows(self) -> Iterator[dict[str, Any]]:
        import io

        from PIL import Image

        for number in range(3 * self.size.prompts):
            prompt = [
                {"role": "system", "content": small.SYSTEM},
                {"role": "user", "content": small.QUESTION},
            ]
            yield {"prompt": prompt, "image": Image.open(io.BytesIO(self.picture(number)))}


def random_3b(device: torch.device, dtype: torch.dtype) -> Any:
    """Qwen2.5-VL-3B as its published configuration has it, with random weights, on the device."""
    text = {
        "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936,
        "max_position_embeddings": 128000,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]
        },
    }  # fmt: skip
    vision = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
        "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2, "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }  # fmt: skip
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return small.random_model(text, vision)
    finally:
        torch.set_default_dtype(usual)


def group_flops(model: Any, prompt: int, size: Size) -> float:
    """Model FLOPs of one group's forward and backward pass: six a weight and token, and twelve a
    head's width for every pair of tokens of which one sees the other."""
    from observe_r1.policy.family import base_model, language_model, part_of

    own = size.new_tokens - 1
    tokens = prompt + size.group * own
    layers = sum(p.numel() for p in language_model(model).layers.parameters())
    text = base_model(model).config.get_text_config()
    head = text.hidden_size * text.vocab_size
    pairs = prompt**2 / 2 + size.group * (own * prompt + own**2 / 2)
    patches = 4 * size.side**2
    named = base_model(model).named_parameters()
    named = {name: p.numel() for name, p in named}
    tower = sum(count for name, count in named.items() if part_of(name) == "vision")
    merger = sum(count for name, count in named.items() if part_of(name) == "aligner")
    return (
        6 * layers * tokens
        + 6 * head * size.group * size.new_tokens
        + 12 * text.num_hidden_layers * text.hidden_size * pairs
        + 6 * tower * patches
        + 6 * merger * patches / 4
        + 12 * tower_pairs(base_model(model).config.vision_config, patches)
    )


def tower_pairs(vision: Any, patches: int) -> float:
    """Of patches that see each other, times the width, over all layers of the tower: all of them in
    a few layers, those of one window in the others."""
    whole = len(vision.fullatt_block_indexes)
    window = (vision.window_size // vision.patch_size) ** 2
    return vision.hidden_size * patches * (whole * patches + (vision.depth - whole) * window)


def compiler_limits() -> dict[str, float]:
    """How often the compiler gave up on more versions of a function; anything but 0 is slow."""
    from torch._dynamo.utils import counters

    limits = [n for reason, n in counters["unimplemented"].items() if "limit" in reason]
    return {"compiler limits hit": sum(limits)}


PARTS = (
    "matmul", "gradients", "update", "update compiled", "update compiled with half kept",
    "update with half kept", "update of mixed pictures", "trl with batched windows",
    "update with activations kept", "rollout", "trl",
)  # fmt: skip
"""In the order of what they tell."""
GPU_ONLY = ("update compiled", "update compiled with half kept", "gradients")
"""FlexAttention has no backward pass on a CPU, and compiling takes longer than it saves there."""


def with_ratios(found: dict[str, Any]) -> dict[str, Any]:
    """What the aims are stated in, where both sides were measured."""
    rate = found.get("matmul: TFLOPS")
    for ours in (name for name in PARTS if name.startswith("update")):
        if rate and f"{ours}: model TFLOPS" in found:
            found[f"{ours}: share of the matmul rate"] = found[f"{ours}: model TFLOPS"] / rate
    for theirs in ("trl", "trl with batched windows"):
        for name, what in (("seconds", "times faster"), ("peak GiB", "share of the memory")):
            pair = (
                found.get(f"update: {name}"),
                found.get(
                    f"{theirs}: update seconds" if name == "seconds" else f"{theirs}: {name}"
                ),
            )
            if all(pair):
                ours, other = pair
                ratio = other / ours if name == "seconds" else ours / other
                found[f"update against {theirs}: {what}"] = ratio
    return found


def run_parts(size: Size, device: str, names: Sequence[str], minutes: float) -> dict[str, Any]:
    """Each in a process of its own, which leaves no memory behind, as long as there is time."""
    found: dict[str, Any] = {}
    ends = time.monotonic() + 60 * minutes
    for name in names:
        started = time.monotonic()
        if started > ends:
            found[f"{name}: failed"] = "no time left"
            continue
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                values = pool.submit(run_part, size, device, name).result()
            except Exception as error:  # one part says what is wrong, the others go on
                traceback.print_exc()
                values = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
        for key, value in values.items():
            show(f"{name}: {key}", value)
            found[f"{name}: {key}"] = value
        print(f"{name} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return with_ratios(found)


def run_part(size: Size, device: str, name: str) -> dict[str, Any]:
    return getattr(Bench(size, torch.device(device)), name.replace(" ", "_"))()


def show(name: str, value: Any) -> None:
    text = f"{value:10.4g}" if isinstance(value, float | int) else str(value)
    print(f"{name:52s} {text}", flush=True)


def machine(device: torch.device) -> dict[str, str]:
    import transformers
    import trl

    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    return {
        "device": name or platform.machine(), "python": platform.python_version(),
        "torch": torch.__version__, "transformers": transformers.__version__,
        "trl": trl.__version__,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="in miniature")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="no part begins later")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, help="default: docs/results/gpu-DATE.json")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --tiny --device cpu shows that the script works")
    size = MINIATURE if arguments.tiny else LARGE
    names = [n for n in arguments.parts if arguments.device == "cuda" or n not in GPU_ONLY]
    found = run_parts(size, arguments.device, names, arguments.minutes)
    date = datetime.now(UTC).date().isoformat()
    result = {
        "date": date, "machine": machine(torch.device(arguments.device)),
        "size": {name: getattr(size, name) for name in size.__slots__}, "results": found,
    }  # fmt: skip
    print()
    for name, value in found.items():
        show(name, value)
    out = arguments.out or (None if arguments.tiny else ROOT / "docs/results" / f"gpu-{date}.json")
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
