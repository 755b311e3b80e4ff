"""Probes by the built-in model, for the tests that kill them: ``python killable_probe.py``.

The model is loaded once. Each line of stdin, ``{"folder": …, "samples": …, "batch_size": …}``, starts
a probe in a process of its own; its number is printed, and how it ended: ``{"pid": …}``,
``{"status": …}``.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from observe_r1.config.rollout import Sampling
from observe_r1.data.puzzles import make_sample
from observe_r1.policy.load import load_policy
from observe_r1.probe import ProbeConfig, ProbeStore, probe
from observe_r1.rollout.shared_prefill import SharedPrefillEngine


def probe_puzzles(
    engine: SharedPrefillEngine, *, folder: str, samples: int, batch_size: int
) -> None:
    config = ProbeConfig(
        rollouts=2,
        batch_size=batch_size,
        sampling=Sampling(max_new_tokens=16),
        direct_max_tokens=16,
    )
    puzzles = [make_sample("counting", 0, index, 1) for index in range(samples)]
    with ProbeStore(Path(folder), config.identity("tiny")) as store:
        probe(puzzles, engine, config, store)


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    torch.set_num_threads(1)  # before anything is computed: threads do not survive a fork
    engine = SharedPrefillEngine(load_policy("tiny"))
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            probe_puzzles(engine, **json.loads(line))
            os._exit(0)
        say(pid=pid)
        say(status=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
