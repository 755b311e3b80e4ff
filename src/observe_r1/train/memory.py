"""The most memory that was ever held, of this process and of its device."""

import re
import resource
import sys
from pathlib import Path

import torch


def memory_metrics(device: torch.device) -> dict[str, float]:
    """In MiB."""
    found = {"memory/host": host_bytes() / 2**20}
    if device.type == "cuda":
        found["memory/device"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


def host_bytes() -> int:
    """Of this process alone: what ``getrusage`` says may be of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, the others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
