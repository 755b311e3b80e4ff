"""A long run: does memory stay flat, and what do recorder and logging cost?

    python benchmarks/long_run.py [--steps 10000] [--json]

Steps as small as they can be (a random Qwen2.5-VL of two layers, one prompt with a picture, two
completions of three tokens), so that ten thousand of them take minutes: what leaks with every step
shows soonest. Resident memory is read a hundred times; its slope is over the second half.

What is written by the step is a larger share of such steps than of any real one, so the share is
measured beside it on steps of the size of the ``tiny`` preset: 16 prompts × 8 completions of the
built-in model.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from observe_r1.process import settle_process

settle_process()  # as the command line does

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fakes
from observe_r1.config.stages import RLStage
from observe_r1.data.puzzles import make_sample
from observe_r1.records import read_rows
from observe_r1.stages.rl import run_rl
from observe_r1.train import loop

READINGS = 100
"""How often memory is read."""
REWARD = """
def reward(attempt):
    return len(set(attempt.text)) % 3 / 2
"""


class Watch:
    """Told about every step: reads memory, and the time that recording it took."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // READINGS)
        self.memory: list[tuple[int, float]] = []
        self.recorded: list[float] = []
        self.started = time.perf_counter()
        self.ended = self.started

    def notify(self, step: int, metrics: dict[str, float]) -> None:
        self.ended = time.perf_counter()
        if step % self.every == 0:
            self.memory.append((step, resident()))

    def timing(self, record: Callable[..., Any]) -> Callable[..., Any]:
        """``record`` with its time taken: metrics, rows, pictures, whoever is told."""

        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            found = record(*args)
            self.recorded.append(time.perf_counter() - started)
            return found

        return timed


def resident() -> float:
    """MiB of memory that this process holds now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:  # not Linux: the most it ever held
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def watched(stage: RLStage, model: str, samples: list[Any], run: Path) -> Watch:
    assert stage.max_steps is not None
    watch, plain = Watch(stage.max_steps), loop.record
    loop.record = watch.timing(plain)
    try:
        run_rl(stage, model=model, samples=samples, run=run, notify=watch.notify)
    finally:
        loop.record = plain
    return watch


def stage(folder: Path, steps: int, **settings: Any) -> RLStage:
    path = folder / "reward.py"
    path.write_text(REWARD)
    values = {
        "max_steps": steps, "save_every": 2500, "keep_checkpoints": 1, "system_prompt": "count",
        "rewards": [{"type": "user", "path": f"{path}:reward"}], "optimizer": {"lr": 1e-5},
        "curriculum": {"type": "shuffled", "epochs": 2 * steps},
    }  # fmt: skip
    return RLStage.build(values | settings, "the benchmark")


def small_steps(folder: Path, steps: int) -> dict[str, float]:
    settings = {"prompts_per_step": 1, "group_size": 2, "sampling": {"max_new_tokens": 3}}
    samples = [fakes.sample(number) for number in range(16)]
    run = folder / "small"
    watch = watched(stage(folder, steps, **settings), fakes.save_tiny(folder / "m"), samples, run)
    half = [reading for reading in watch.memory if reading[0] > steps / 2]
    slope = statistics.linear_regression([at for at, _ in half], [held for _, held in half]).slope
    seconds = watch.ended - watch.started
    begun = next(held for step, held in watch.memory if step >= steps / 10)
    return {
        "steps": steps, "seconds": seconds, "milliseconds a step": 1000 * seconds / steps,
        "MiB after a tenth": begun, "MiB at the end": watch.memory[-1][1],
        "MiB a thousand steps, second half": 1000 * slope,
        "recording, ms a step": 1000 * statistics.median(watch.recorded),
        "recording, share of small steps": sum(watch.recorded) / seconds,
    }  # fmt: skip


def real_steps(folder: Path, steps: int) -> dict[str, float]:
    sampling = {"max_new_tokens": 96}
    settings = {
        "prompts_per_step": 16,
        "group_size": 8,
        "sampling": sampling,
        "system_prompt": None,
    }
    samples = [make_sample("counting", 0, index, 2) for index in range(64)]
    watch = watched(stage(folder, steps, **settings), "tiny", samples, folder / "real")
    rows = list(read_rows(folder / "real" / "metrics.jsonl"))
    seconds = statistics.median(row["timing/step"] for row in rows[1:])
    recorded = statistics.median(watch.recorded[1:])
    return {
        "16 x 8: seconds a step": seconds, "16 x 8: recording, ms a step": 1000 * recorded,
        "16 x 8: recording, share of a step": recorded / (seconds + recorded),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--real-steps", type=int, default=6)
    parser.add_argument(
        "--threads", type=int, default=1, help="small steps gain from no second one"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = real_steps(Path(folder), arguments.real_steps)
        found |= small_steps(Path(folder), arguments.steps)
    for name, value in found.items():
        print(f"{name:40s} {value:12.3f}")
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
