"""One step behind: the real vLLM draws the next rollouts while this process trains.

    make test-vllm                                        # builds .venv-vllm
    .venv-vllm/bin/python benchmarks/vllm_ahead.py [--tokens 32] [--steps 8] [--rounds 3] [--json]

A random Qwen2.5-VL of 7.6 million parameters, 4 prompts with one picture of 144 image tokens × 8
completions. The server has one core, the trainer another, as each would have its GPUs. Runs with
``staleness`` 0 and 1 take turns on the same server, each from its first step; medians over the
steps that are neither first (nothing is drawn before it) nor last (nothing beside it).
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from observe_r1.process import settle_process

settle_process()  # as the command line does

import torch
from step import GROUP, PROMPTS, SYSTEM, build_model, processor
from vllm_rollout import make_samples

from observe_r1.config.stages import RLStage
from observe_r1.records import read_rows
from observe_r1.stages.rl import run_rl
from serving import free_port, serving

PHASES = ("step", "generate", "optimise", "wait", "sync")
REWARD = Path(__file__).parents[1] / "tests" / "unit" / "train" / "vowel_reward.py"


def make_stage(staleness: int, url: str, folder: Path, tokens: int, steps: int) -> RLStage:
    return RLStage.build(
        {
            "prompts_per_step": PROMPTS, "group_size": GROUP, "max_steps": steps,
            "system_prompt": SYSTEM, "staleness": staleness, "save_every": 0,
            "rewards": [{"type": "user", "path": f"{REWARD}:evenness"}],
            "sampling": {"max_new_tokens": tokens},
            "engine": {"type": "vllm_server", "base_url": url, "weights_folder": str(folder)},
            "optimizer": {"lr": 1e-6},
        },
        "the benchmark",
    )  # fmt: skip


def server_command(model: Path, port: int) -> list[str]:
    return [
        *(["taskset", "--cpu-list", "0"] if os.cpu_count() != 1 else []),
        sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model),
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager",
        "--logprobs-mode", "processed_logprobs", "--chat-template-content-format", "openai",
        "--max-model-len", "1024", "--max-num-batched-tokens", "8192",
        "--no-enable-chunked-prefill",
    ]  # fmt: skip


def middle(run: Path) -> dict[str, float]:
    """Medians of a run's phases."""
    rows: list[dict[str, Any]] = list(read_rows(run / "metrics.jsonl"))[1:-1]
    return {n: statistics.median(row.get(f"timing/{n}", 0.0) for row in rows) for n in PHASES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[int, list[dict[str, float]]] = {0: [], 1: []}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        build_model().save_pretrained(folder / "model")
        processor().save_pretrained(folder / "model")
        samples = [sample for step in range(arguments.steps) for sample in make_samples(step)]
        variables = {
            "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_SERVER_DEV_MODE": "1", "OMP_NUM_THREADS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_LOGGING_LEVEL": "WARNING",
        }  # fmt: skip
        command = server_command(folder / "model", port)
        with serving(command, port, folder / "log.txt", **variables) as url:
            if os.cpu_count() != 1:
                os.sched_setaffinity(0, {1})
            for number in range(arguments.rounds):
                for staleness in found:
                    run = folder / f"run-{number}-{staleness}"
                    stage = make_stage(staleness, url, folder, arguments.tokens, arguments.steps)
                    run_rl(stage, model=str(folder / "model"), samples=samples, run=run)
                    found[staleness].append(middle(run))
    for staleness, rounds in found.items():
        shown = ", ".join(f"{n} {statistics.median(r[n] for r in rounds):.3f}" for n in PHASES)
        print(f"staleness {staleness}: {shown}")
    ratios = [fresh["step"] / old["step"] for fresh, old in zip(*found.values(), strict=True)]
    print(f"a step one behind is {statistics.median(ratios):.2f} times as fast "
          f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
