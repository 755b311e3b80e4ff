"""What ``--model`` names: a checkpoint folder, a run folder, a name on the hub, or ``tiny``."""

import hashlib
import json
import os
import struct
from contextlib import suppress
from pathlib import Path

from observe_r1.errors import ModelError

TINY = "tiny"


def locate_model(model: str) -> str:
    """Where to load a model from; a run folder means its latest checkpoint.

    Only what is certain is refused here, before anything is written: a name like ``org/model`` may
    be on the hub, and whether its weights are whole is seen when they are loaded.
    """
    if model == TINY:
        return model
    folder = Path(model).expanduser()
    if not folder.exists():
        if _looks_like_a_path(model):
            raise ModelError(
                f"there is no model folder {model}. Give a folder written by save_pretrained, a "
                f"run folder, a name on the hub such as Qwen/Qwen2.5-VL-3B-Instruct, or '{TINY}'."
            )
        return model
    latest = latest_checkpoint_of(folder)
    if latest is not None:
        return locate_model(str(latest.resolve()))
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise ModelError(
            f"{model} holds no model: there is no config.json in it, and no checkpoints/latest. "
            "Give a folder written by save_pretrained, or a run folder with a checkpoint."
        )
    for weights in sorted(folder.glob("*.safetensors")):
        _refuse_broken(weights)
    return str(folder.resolve() if folder.is_symlink() else folder)  # ``latest`` moves on


def latest_checkpoint_of(run: Path) -> Path | None:
    """The link to a run's newest checkpoint; of several stages, the last that has one."""
    numbered = [p for p in run.glob("*-*") if p.name.partition("-")[0].isdigit()]
    stages = sorted(numbered, key=lambda p: -int(p.name.partition("-")[0]))
    links = [folder / "checkpoints" / "latest" for folder in (run, *stages)]
    return next((link for link in links if link.exists()), None)


def locate_and_name(model: str) -> tuple[str, str]:
    """Where to load a model from, and what its answers are recorded under: of a run the checkpoint,
    because the run's name means other weights once it has gone on.

    Example:
        locate_and_name("runs/a")[1] == "runs/a/checkpoints/step-000120@5d2f1c7a"
    """
    pinned = pin_checkpoint(model)
    return locate_model(pinned), _name_of_weights(pinned)


def pin_checkpoint(model: str) -> str:
    """The checkpoint that a run folder or a link means now; what does not move is left as it is.

    Example:
        pin_checkpoint("runs/a") == "runs/a/checkpoints/step-000120"
    """
    folder = Path(model).expanduser()
    latest = latest_checkpoint_of(folder)
    if model == TINY or (latest is None and not folder.is_symlink()):
        return model
    place = latest or folder
    while place.is_symlink():
        place = place.parent / os.readlink(place)
    return str(place)


def keep_start(pinned: str, out: Path) -> None:
    """Let the run that ``out`` starts from keep the checkpoint it started from: adapters and
    references are of it. A link in that run says so, where one may be made; without it the
    checkpoint goes when its time has come."""
    from observe_r1.train.state import CHECKPOINTS, TRAINING, point

    folder = Path(pinned).expanduser()
    if folder.parent.name == CHECKPOINTS and (folder / TRAINING).is_dir():
        with suppress(OSError):
            point(folder.parent.parent, _start_of(out), folder)


def let_start_go(pinned: str, out: Path) -> None:
    """A run that has not begun needs nothing of another."""
    with suppress(OSError):
        (Path(pinned).expanduser().parent / _start_of(out)).unlink(missing_ok=True)


def _start_of(out: Path) -> str:
    whole = out.resolve()
    return f"start-of-{whole.name}-{hashlib.sha256(str(whole).encode()).hexdigest()[:8]}"


def _name_of_weights(pinned: str) -> str:
    """With a hash of the training's state: a run that was deleted and trained anew under the same
    name is another model."""
    state = Path(pinned).expanduser() / "training" / "state.json"
    if pinned == TINY or not state.is_file():
        return pinned
    return f"{pinned}@{hashlib.sha256(state.read_bytes()).hexdigest()[:8]}"


def _refuse_broken(weights: Path) -> None:
    """The header of a weights file says how long the file is: one that was cut off is found here,
    before anything is loaded."""
    size = weights.stat().st_size
    try:
        with open(weights, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, size)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        wanted = 8 + length + max(ends, default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        wanted = None
    if wanted != size:
        found = "its header cannot be read" if wanted is None else f"{size:,} of {wanted:,} bytes"
        raise ModelError(
            f"{weights} is broken: {found}. It was cut off while it was written or copied. Copy it "
            "again, or take an older checkpoint."
        )


def _looks_like_a_path(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~")) or model.count("/") != 1 or model.endswith("/")
