"""``env.json``: versions and machine of a run, for whoever wants to repeat it."""

import hashlib
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from observe_r1.recipes.machine import detect_machine

DECISIVE = ("observe-r1", "torch", "transformers", "accelerate")
"""Packages whose versions must be the same on all machines of one run."""

PACKAGES = (
    "observe-r1", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets",
    "math-verify", "numpy", "pillow", "vllm",
)  # fmt: skip

Facts = dict[str, str]

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


def facts(stage: BaseModel, model: str, ids: Iterable[str], checkpoint: Path | None) -> Facts:
    """What the processes of one run must have in common."""
    settings = hashlib.sha256(stage.model_dump_json().encode())
    questions = hashlib.sha256("\n".join(ids).encode())
    return {
        **{f"version of {name}": _version(name) or "none" for name in DECISIVE},
        "set of settings": settings.hexdigest()[:8],
        "model": model,
        "set of questions": questions.hexdigest()[:8],
        "checkpoint to go on from": checkpoint.name if checkpoint else "none",
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
