"""Files of weights, looked at without loading them: shapes stand in their headers."""

import json
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from observe_r1.errors import ModelError
from observe_r1.stages.models import TINY

Shapes = Mapping[str, Sequence[int]]


def refuse_other_shapes(stage: str, models: Mapping[str, str]) -> None:
    """Checkpoints that are here already are compared by their files' headers, which takes no time;
    those on the hub by their configuration, and weight by weight once they are loaded."""
    known = {name: shapes for name, path in models.items() if (shapes := file_shapes(path))}
    names = list(known)
    for other in names[1:]:
        compare_shapes(stage, names[0], known[names[0]], other, known[other])
    _refuse_other_sizes(stage, models)


SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_key_value_heads",
         "vocab_size")  # fmt: skip


def _refuse_other_sizes(stage: str, models: Mapping[str, str]) -> None:
    known = {name: sizes for name, model in models.items() if (sizes := _sizes(model))}
    for name, sizes in known.items():
        one = next(iter(known))
        for size in SIZES:
            mine, theirs = known[one].get(size), sizes.get(size)
            if None not in (mine, theirs) and mine != theirs:
                raise ModelError(
                    f"stage '{stage}' cannot merge {name} with {one}: {size} is {theirs} in the "
                    f"former and {mine} in the latter. Merge checkpoints of one architecture and "
                    "size."
                )


def _sizes(model: str) -> Mapping[str, Any]:
    """Sizes of the language model, from the configuration; empty where that cannot be had."""
    folder = _folder(model)
    try:
        path = folder / "config.json" if folder.is_dir() else _from_hub(model)
        found = json.loads(Path(path).read_bytes())
    except Exception:  # of the hub's client too: no network, no such name; loading will say
        return {}
    # Where the text part has a section of its own, older configurations have it at the top.
    return {**found, **(found.get("text_config") or {})}


def _folder(model: str) -> Path:
    return Path(str(files("observe_r1").joinpath("assets", "tiny")) if model == TINY else model)


def _from_hub(model: str) -> str:
    from huggingface_hub import hf_hub_download

    return hf_hub_download(model, "config.json")


def file_shapes(model: str) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of a folder, from the headers of its files; empty for what is no
    folder or holds adapters."""
    folder = _folder(model)
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
