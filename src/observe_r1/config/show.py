"""A resolved stage as lines that can be given back as overrides."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from observe_r1.config.stages import Stage


def setting_lines(stage: Stage) -> list[str]:
    """``rl.group_size = 8``, ``rl.loss.clip_low = 0.2`` … in the order of the config class.

    Example:
        setting_lines(stage)[0] == "rl.seed = 0"
    """
    return [f"{path} = {_written(value)}" for path, value in settings_of(stage)]


def settings_of(stage: Stage) -> Iterator[tuple[str, Any]]:
    """Every setting by its path.

    Example:
        dict(settings_of(stage))["rl.group_size"] == 8
    """
    values = stage.model_dump(mode="json", exclude={"name", "type"})
    return _leaves(values, stage.name)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    is_list_of_tables = (
        isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)
    )
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif is_list_of_tables:
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{place}")
    else:
        yield path, value


def _written(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
