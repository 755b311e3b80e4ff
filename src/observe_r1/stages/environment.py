"""``env.json``: versions and machine of a run, for whoever wants to repeat it."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from observe_r1.recipes.machine import detect_machine

PACKAGES = (
    "observe-r1", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets",
    "math-verify", "numpy", "pillow", "vllm",
)  # fmt: skip


FORMAT = 1
"""Of the run folder; a reader that knows only older ones says so."""


def environment(resumed: bool) -> dict[str, Any]:
    """Where and with what a run is started."""
    return {
        "format": FORMAT,
        "started": now(),
        "resumed": resumed,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_cores": os.cpu_count(),
        "gpus": str(detect_machine()),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def is_main_process() -> bool:
    """Whether this is the process that writes and talks; a launcher (``accelerate launch``,
    ``torchrun``) numbers its processes in RANK."""
    return os.environ.get("RANK", "0") == "0"


def now() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
