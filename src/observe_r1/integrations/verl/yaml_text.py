"""A tree of plain values as YAML, written without a YAML library: every scalar is JSON, which YAML
contains.

    {"data": {"files": ["a"], "shuffle": False}}   →   data:
                                                         files: ["a"]
                                                         shuffle: false
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def to_yaml(tree: Mapping[str, Any]) -> str:
    return "\n".join(_lines(tree, "")) + "\n"


def _lines(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """JSON, but for small floats: YAML 1.1 reads 1e-06 as text unless it has a point."""
    if isinstance(value, float):
        text = repr(value)
        mantissa, e, exponent = text.partition("e")
        return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
