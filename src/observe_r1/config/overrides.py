"""``section.key=value``: settings changed from the command line, and presets laid over a recipe.

    base    {"rl": {"group_size": 8, "loss": {"type": "clipped", "clip_low": 0.2}}}
    change  {"rl": {"loss": {"type": "gspo"}}}
    merged  {"rl": {"group_size": 8, "loss": {"type": "gspo"}}}

A change of ``type`` chooses another member of a union, so the old member's settings go with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from observe_r1.config_base import parse_override
from observe_r1.errors import ConfigError


def merge(base: Any, change: Any) -> Any:
    """``change`` laid over ``base``: tables are merged, everything else is replaced."""
    if isinstance(base, Sequence) and not isinstance(base, str) and _is_indexed(change):
        return _merge_list(list(base), change)
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    if "type" in change and change["type"] != base.get("type"):
        return dict(change)
    merged = dict(base)
    for key, value in change.items():
        merged[key] = merge(base[key], value) if key in base else value
    return merged


def _is_indexed(change: Any) -> bool:
    """``rl.rewards.0.weight=2`` arrives as a table whose keys are places in the list."""
    return isinstance(change, Mapping) and bool(change) and all(k.isdigit() for k in change)


def _merge_list(base: list[Any], change: Mapping[str, Any]) -> list[Any]:
    for key, value in change.items():
        place = int(key)
        if place >= len(base):
            raise ConfigError(
                f"there is no entry {place} in a list of {len(base)}: entries are counted from 0."
            )
        base[place] = merge(base[place], value)
    return base


def override_tree(texts: Iterable[str]) -> dict[str, Any]:
    """All overrides as one nested table, the later one winning. ``none`` stands for no value,
    which TOML cannot write."""
    tree: dict[str, Any] = {}
    for text in texts:
        path, value = parse_override(text)
        if len(path) < 2 or not all(path):
            raise ConfigError(
                f"override '{text}' names no section. Write section.key=value, for example "
                "rl.max_steps=4."
            )
        tree = _merge_override(tree, path, None if value == "none" else value)
    return tree


def _merge_override(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """One more leaf. Unlike ``merge``, a ``type`` here keeps its neighbours: the order in which
    ``rl.loss.type=…`` and ``rl.loss.clip_low=…`` are written must not matter."""
    key, rest = path[0], path[1:]
    if not rest:
        return {**tree, key: value}
    below = tree.get(key)
    return {**tree, key: _merge_override(below if isinstance(below, dict) else {}, rest, value)}
