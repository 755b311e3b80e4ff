"""A whole training step, ours against TRL's GRPOTrainer: same model, images, prompts and lengths.

    python benchmarks/step.py [--tokens 64 16] [--repeats 3] [--equal] [--json]

Both sides start from the same random 7.6-million-parameter Qwen2.5-VL: 4 prompts with one picture
of 144 image tokens, 8 completions each, no KL, one update, vision trained in both. No end token is
ever sampled, so every completion has the same length. Both are whole steps of the training loops
that users start: pictures prepared, completions drawn and scored, rows written, weights moved.
Steps are interleaved, medians are shown. Beside it: ours with a frozen vision tower, and ours with
half of the groups without signal; the smallest and largest step of each; and how often tokens and
images are computed.

Each side has a process of its own, ours as ``observe-r1 train`` settles it, TRL's as Python starts
it. ``--equal`` settles TRL's as well (``observe_r1/process.py``), which no script of TRL does;
``--spin`` lets the threads of both spin, for a machine that does nothing else. ``--out`` writes
what was found with the versions and the machine.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.stages import RLStage
from observe_r1.curriculum.base import Curriculum
from observe_r1.policy.load import make_policy
from observe_r1.process import settle_process
from observe_r1.recipes.machine import detect_machine
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.train.ahead import Ahead
from observe_r1.train.distribute import Processes
from observe_r1.train.loop import Parts, train_rl
from observe_r1.train.optimise import Optimiser
from observe_r1.train.recorder import Recorder
from observe_r1.train.state import TrainState
from observe_r1.types import Sample

PROMPTS, GROUP, SIDE = 4, 8, 336
MOST = 100
"""Steps that a side would take if it were asked to; schedules are those of so many."""
REWARD = Path(__file__).with_name("step_reward.py")
FEW = 50
"""Steps until TRL's side has new pictures no longer."""
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


class Enough(Exception):
    """No more steps are asked for."""


class Turn:
    """Lets a training loop take one step whenever the other end of a pipe asks for it."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.started = 0.0

    def wait(self) -> None:
        if self.pipe.recv() is None:
            raise Enough
        self.started = time.perf_counter()

    def over(self, found: dict[str, float]) -> None:
        """Say what the step took, and wait for the next."""
        self.pipe.send({"step": time.perf_counter() - self.started, **found})
        self.wait()


def processor() -> Any:
    """Pictures up to 336 pixels a side, 144 image tokens."""
    made = fakes.byte_processor()
    made.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    return made


def our_steps(tokens: int, folder: str, turn: Turn, *, silent: int = 0, **settings: Any) -> None:
    """The loop that ``observe-r1 train`` runs."""
    policy = make_policy(build_model(), processor(), PolicyConfig(**settings), source="benchmark")
    policy = replace(policy, end_ids=())
    stage = RLStage.build(
        {
            "prompts_per_step": PROMPTS, "group_size": GROUP,
            "sampling": {"max_new_tokens": tokens},
            "rewards": [{"type": "user", "path": f"{REWARD}:odd"}],
            "optimizer": {"lr": 1e-6}, "loss": {"type": "clipped", "reduction": "token_mean"},
            "save_every": 0,
        },
        "the benchmark",
    )  # fmt: skip
    encoded = [0]

    def told(number: int, metrics: dict[str, float]) -> None:
        new = policy.packed.vision.num_encoded - encoded[0]
        encoded[0] += new
        turn.over(
            {
                "update": metrics["timing/optimise"],
                "tokens computed / unique": metrics["tokens/computed"] / metrics["tokens/unique"],
                "images encoded / unique": new / PROMPTS,
            }
        )

    parts = Parts(
        policy=policy, engine=SharedPrefillEngine(policy), ahead=Ahead(), max_steps=MOST,
        curriculum=InOrder(Questions(silent), 0), run=Path(folder),
        optimiser=Optimiser(
            policy, loss=stage.loss, optimizer=stage.optimizer, sampling=stage.sampling,
            system_prompt=SYSTEM, total_updates=MOST,
        ),
        recorder=Recorder(Path(folder)), processes=Processes(), system_prompt=SYSTEM,
        evaluate=lambda step: {}, notify=told,
    )  # fmt: skip
    turn.wait()
    train_rl(stage, parts, TrainState())


class Questions(Sequence[Sample]):
    """Of each step's groups the first ``silent`` are scored alike; see ``step_reward.py``."""

    def __init__(self, silent: int) -> None:
        self.silent = silent

    def __len__(self) -> int:
        return MOST * PROMPTS

    def __getitem__(self, place: Any) -> Any:
        if place >= len(self):
            raise IndexError(place)
        step, number = divmod(place, PROMPTS)
        picture = fakes.picture((step % 256, 40 * number, 90), (SIDE, SIDE))
        return Sample(
            id=f"{step}-{number}", question=QUESTION, answer="3", kind="number", images=(picture,),
            metadata={"silent": number < self.silent},
        )  # fmt: skip


class InOrder(Curriculum):
    """The questions as they come, so that every step has as many silent ones."""

    def choose(self, n: int, rng: random.Random) -> list[int]:
        return list(range(self.batches * n, (self.batches + 1) * n))

    def own_state(self) -> dict[str, Any]:
        return {}

    def load_own_state(self, state: Any) -> None:
        pass


def trl_steps(tokens: int, folder: str, turn: Turn) -> None:
    """GRPOTrainer, timed from the beginning of a step to the beginning of the next."""
    from datasets import Dataset
    from PIL import Image
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Mark(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            turn.wait()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            turn.over({})

    def rows() -> Iterator[dict[str, Any]]:
        import io

        for sample in (Questions(0)[place] for place in range(FEW * PROMPTS)):
            picture = Image.open(io.BytesIO(sample.images[0]))
            prompt = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": QUESTION},
            ]
            yield {"prompt": prompt, "image": picture}

    settings = GRPOConfig(
        output_dir=folder, per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP,
        max_completion_length=tokens, max_steps=MOST, beta=0.0, learning_rate=1e-6, report_to=[],
        save_strategy="no", logging_strategy="no", use_cpu=not torch.cuda.is_available(),
        bf16=False, gradient_checkpointing=False, disable_tqdm=True, loss_type="dapo",
        generation_kwargs={"min_new_tokens": tokens},
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=build_model(), args=settings, train_dataset=Dataset.from_list(list(rows())),
        processing_class=processor(), callbacks=[Mark()],
        reward_funcs=lambda completions, **_: [float(n % 2) for n in range(len(completions))],
    )  # fmt: skip
    trainer.train()


SIDES: dict[str, Callable[[int, str, Turn], None]] = {
    "ours": our_steps,
    "ours, vision frozen": partial(our_steps, freeze_vision=True, freeze_aligner=True),
    "ours, half silent": partial(our_steps, silent=PROMPTS // 2),
    "trl": trl_steps,
}


class Side:
    """A process that takes one step of its side whenever it is asked."""

    def __init__(self, name: str, tokens: int, threads: int, *, settled: bool, spins: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=take_steps, args=(name, tokens, threads, settled, other), daemon=True
        )
        waiting = {"OMP_WAIT_POLICY": "PASSIVE" if settled else None}
        with environment(**{"GOMP_SPINCOUNT": "20000"} if spins else waiting):
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
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr), suppress(Enough):
        SIDES[name](tokens, folder, Turn(pipe))


def measure(
    tokens: int, repeats: int, threads: int, *, equal: bool, spin: bool
) -> dict[str, float]:
    """Interleaved, after one step of each to warm up; medians."""
    sides = {
        name: Side(name, tokens, threads, settled=equal or name != "trl", spins=spin)
        for name in SIDES
    }
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
    parser.add_argument("--spin", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = [
        measure(
            tokens, arguments.repeats, arguments.threads, equal=arguments.equal,
            spin=arguments.spin,
        )
        for tokens in arguments.tokens
    ]  # fmt: skip
    for result in results:
        for name, value in result.items():
            print(f"{name:36s} {value:10.3f}")
        print()
    if arguments.json:
        print(json.dumps(results))
    if arguments.out:
        setting = " ".join(sys.argv[1:])
        versions = {name: version(name) for name in ("torch", "transformers", "trl")}
        found = {
            "command": f"python benchmarks/step.py {setting}", "machine": str(detect_machine()),
            "cores": os.cpu_count(), "versions": versions, "results": results,
        }  # fmt: skip
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
