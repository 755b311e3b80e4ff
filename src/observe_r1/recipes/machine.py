"""Which accelerators this machine has, asked without loading a deep-learning stack."""

import os
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """The accelerators of a machine.

    Example:
        Machine(num_gpus=8, gpu_memory_gb=80.0, gpu_name="NVIDIA H100 80GB HBM3")
    """

    num_gpus: int = 0
    gpu_memory_gb: float = 0.0
    """Of the smallest of them."""
    gpu_name: str = ""

    def __str__(self) -> str:
        if not self.num_gpus:
            return "no GPU"
        return f"{self.num_gpus} × {self.gpu_name} ({self.gpu_memory_gb:.0f} GB)"


def detect_machine() -> Machine:
    """What ``nvidia-smi`` lists, less what CUDA_VISIBLE_DEVICES hides; no GPU without it."""
    gpus = _visible(_query_nvidia())
    if not gpus:
        return Machine()
    return Machine(len(gpus), min(memory for _, memory in gpus), gpus[0][0])


def _query_nvidia() -> list[tuple[str, float]]:
    """Name and memory (GB, 10⁹ bytes) of each GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (subprocess.SubprocessError, OSError):
        return []
    rows = (line.rpartition(",") for line in answer.stdout.splitlines() if "," in line)
    return [
        (name.strip(), float(mebibytes) * 2**20 / 1e9)
        for name, _, mebibytes in rows
        if mebibytes.strip().replace(".", "").isdigit()
    ]


def _visible(gpus: list[tuple[str, float]]) -> list[tuple[str, float]]:
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return gpus
    chosen = [part.strip() for part in shown.split(",") if part.strip()]
    if all(part.isdigit() for part in chosen):
        return [gpus[int(part)] for part in chosen if int(part) < len(gpus)]
    return gpus[: len(chosen)]  # named by identifier: trust the count
