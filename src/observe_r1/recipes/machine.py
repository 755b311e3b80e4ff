"""Which accelerators this machine has, asked without loading a deep-learning stack."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import takewhile


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
    has_vllm: bool = True
    """Whether vLLM is installed beside this package."""

    def __str__(self) -> str:
        if not self.num_gpus:
            return "no GPU"
        return f"{self.num_gpus} × {self.gpu_name} ({self.gpu_memory_gb:.0f} GB)"


def detect_machine() -> Machine:
    """What ``nvidia-smi`` lists, less what CUDA_VISIBLE_DEVICES hides; no GPU without it."""
    gpus = _visible(_query_nvidia())
    if not gpus:
        return Machine(has_vllm=has_vllm())
    return Machine(len(gpus), min(memory for _, memory in gpus), gpus[0][0], has_vllm())


def has_vllm() -> bool:
    """Whether vLLM is installed beside this package."""
    return find_spec("vllm") is not None


def used_by_this_run(machine: Machine) -> Machine:
    """What of it is used: a GPU a process, and without a launcher there is one process."""
    return replace(machine, num_gpus=min(machine.num_gpus, processes_here()))


def processes_here() -> int:
    """The run's processes on this machine, as its launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or "1")


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
    named = list(takewhile(lambda part: part.startswith(("GPU-", "MIG-")), chosen))
    return gpus[: len(named)]  # trust the count; "-1" and the like hide all that follow
