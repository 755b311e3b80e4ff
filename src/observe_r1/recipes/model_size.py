"""How large a model is, told from its name or its files, without loading it."""

import json
import re
import struct
from math import prod
from pathlib import Path

_NAMED = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*([BbMm])(?![A-Za-z])")


def billions_of_parameters(model: str) -> float | None:
    """Billions of parameters of a checkpoint folder or a hub name; None when neither tells.

    Example:
        billions_of_parameters("Qwen/Qwen2.5-VL-3B-Instruct") == 3.0
    """
    folder = Path(model)
    if folder.is_dir():
        counted = sum(_count_parameters(path) for path in folder.glob("*.safetensors"))
        if counted:
            return counted / 1e9
    return _from_name(folder.name)


def _from_name(name: str) -> float | None:
    sizes = _NAMED.findall(name)
    if not sizes:
        return None
    number, unit = sizes[0]
    return float(number) * (1.0 if unit in "Bb" else 1e-3)


def _count_parameters(path: Path) -> int:
    """From the header of a safetensors file: its length, then JSON with every tensor's shape."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                return 0
            header = json.loads(file.read(length))
    except (OSError, struct.error, ValueError):
        return 0  # whoever loads the file says what is wrong with it
    return sum(prod(t["shape"]) for name, t in header.items() if name != "__metadata__")
