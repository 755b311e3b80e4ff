"""What is wrong with a recipe or an override, said with the path the user writes.

pydantic counts stages and names union members in its paths; a user knows neither:

    ("stages", 0, "rl", "weight", "uncertainty", "sigmaa")   →   rl.weight.sigmaa
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from observe_r1.config.near import did_you_mean
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=Config)
Path = tuple[int | str, ...]


def build(model: type[ConfigT], values: Any, what: str) -> ConfigT:
    """``Config.build`` with readable paths and, for an unknown setting, the names near it."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = [f"  {_problem_line(problem, model, values)}" for problem in problems]
        raise ConfigError(f"{what} is not valid:\n" + "\n".join(lines)) from None


def _problem_line(problem: Any, model: type[BaseModel], values: Any) -> str:
    path = ".".join(_readable(problem["loc"], values)) or "(all of it)"
    if problem["type"] == "extra_forbidden":
        known = settings_at(model, problem["loc"][:-1])
        hint = did_you_mean(str(problem["loc"][-1]), known, "There are")
        return f"{path}: there is no such setting.{hint}"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{path}: {message}{shown}"


def _readable(path: Path, values: Any) -> Iterable[str]:
    """The parts of the path that stand in the file; a stage by its name."""
    for place, part in enumerate(path):
        is_last = place == len(path) - 1
        inside = _step_into(values, part)
        if part == "stages" and isinstance(inside, Sequence):
            values = inside
        elif inside is not None:
            named = isinstance(part, int) and isinstance(inside, Mapping)
            yield str(inside.get("name", part)) if named and place == 1 else str(part)
            values = inside
        elif is_last and not (isinstance(values, Mapping) and values.get("type") == part):
            yield str(part)


def _step_into(values: Any, part: int | str) -> Any:
    if isinstance(values, Mapping):
        return values.get(part)
    if isinstance(values, Sequence) and isinstance(part, int) and part < len(values):
        return values[part]
    return None


def settings_at(model: type[BaseModel], path: Path) -> set[str]:
    """The settings that exist under a path of a config class.

    Example:
        settings_at(RunConfig, ("stages", 0, "rl", "redraw")) == {"max_rounds"}
    """
    classes = [model]
    for part in path:
        below = [c for outer in classes for c in _classes_of(outer, part)]
        tagged = [c for c in classes if part in _tags(c)]
        classes = below or tagged or classes
    return {name for c in classes for name in c.model_fields}


def _classes_of(model: type[BaseModel], part: int | str) -> list[type[BaseModel]]:
    field = model.model_fields.get(part) if isinstance(part, str) else None
    return _config_classes(field.annotation) if field else []


def _config_classes(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [c for inner in get_args(annotation) for c in _config_classes(inner)]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("type")
    return get_args(field.annotation) if field else ()
