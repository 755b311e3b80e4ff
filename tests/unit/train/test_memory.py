"""How much memory a process has held."""

import subprocess
import sys

import torch

from observe_r1.train.memory import host_bytes, memory_metrics

MEGABYTES_400 = 400 * 2**20


def test_memory_is_of_this_process_and_not_of_the_one_that_started_it() -> None:
    """Linux hands a parent's peak on to its children's ``getrusage``."""
    held = torch.ones(MEGABYTES_400 // 4)
    code = "from observe_r1.train.memory import host_bytes; print(host_bytes())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(child.stdout) < host_bytes() - 0.7 * MEGABYTES_400
    assert memory_metrics(held.device)["memory/host"] > MEGABYTES_400 / 2**20
