"""A user's own puzzle family, named as ``file.py:ClassName``."""

import inspect
from functools import cache
from pathlib import Path

from observe_r1.data.puzzles.base import Family
from observe_r1.errors import ConfigError
from observe_r1.user_code import run_file

_LEAST_LEVELS = 1


@cache
def load_family(place: str) -> Family:
    """The family at ``file.py:ClassName``; the file is run, so it must be one you trust.

    Example:
        load_family("examples/my_puzzle.py:MyPuzzle").name == "my_puzzle"
    """
    file, _, class_name = place.rpartition(":")
    module = run_file(Path(file), f"puzzle '{place}'")
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
