"""A user's own puzzle family, named as ``file.py:ClassName``."""

import importlib.util
import inspect
from functools import cache
from pathlib import Path
from types import ModuleType

from observe_r1.data.puzzles.base import Family
from observe_r1.errors import ConfigError

_LEAST_LEVELS = 1


@cache
def load_family(place: str) -> Family:
    """The family at ``file.py:ClassName``; the file is run, so it must be one you trust.

    Example:
        load_family("examples/my_puzzle.py:MyPuzzle").name == "my_puzzle"
    """
    file, _, class_name = place.rpartition(":")
    module = _run_file(Path(file), place)
    found = getattr(module, class_name, None)
    if found is None:
        own = [name for name, value in vars(module).items() if _is_family(value)]
        raise ConfigError(
            f"{file} has no class named '{class_name}'. "
            f"Puzzle families in it: {', '.join(own) or 'none'}."
        )
    if not _is_family(found):
        raise ConfigError(
            f"{place} is not a complete puzzle family. Make it a subclass of "
            "observe_r1.data.puzzles.Family with all of its methods; see examples/my_puzzle.py."
        )
    if not getattr(found, "name", "") or len(getattr(found, "levels", ())) < _LEAST_LEVELS:
        raise ConfigError(
            f"{place} must have a name and at least {_LEAST_LEVELS} level: set the class variables "
            "'name' and 'levels'."
        )
    return found()


def _is_family(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Family) and not inspect.isabstract(value)


def _run_file(path: Path, place: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(
            f"no file '{path}' (for the puzzle '{place}'). Give a path as file.py:ClassName."
        )
    spec = importlib.util.spec_from_file_location(f"observe_r1_user_puzzle_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"'{path}' is not a Python file. Give a path as file.py:ClassName.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file can fail in any way; say which file it was
        raise ConfigError(f"{path} could not be run: {type(error).__name__}: {error}") from error
    return module
