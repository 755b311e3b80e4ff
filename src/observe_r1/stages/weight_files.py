"""Files of weights, looked at without loading them: shapes stand in their headers."""

import json
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from observe_r1.errors import ModelError
from observe_r1.stages.models import TINY

Shapes = Mapping[str, Sequence[int]]


def refuse_other_shapes(stage: str, models: Mapping[str, str]) -> None:
    """Checkpoints that are here already are compared by their files' headers, which takes no time;
    the others are compared once they are loaded."""
    known = {name: shapes for name, path in models.items() if (shapes := file_shapes(path))}
    names = list(known)
    for other in names[1:]:
        compare_shapes(stage, names[0], known[names[0]], other, known[other])


def file_shapes(model: str) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of a folder, from the headers of its files; empty for what is no
    folder or holds adapters."""
    folder = Path(str(files("observe_r1").joinpath("assets", "tiny")) if model == TINY else model)
    if not folder.is_dir() or (folder / "adapter_config.json").exists():
        return {}
    shapes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items()}
    return shapes


def compare_shapes(stage: str, one: str, mine: Shapes, other: str, theirs: Shapes) -> None:
    """Raise ModelError where two models differ in the name or shape of a weight."""
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            raise ModelError(
                f"stage '{stage}' cannot merge {other} with {one}: weight {name} is "
                f"{theirs.get(name, 'absent')} in the former and {mine.get(name, 'absent')} in the "
                "latter. Merge checkpoints of one architecture and size."
            )
