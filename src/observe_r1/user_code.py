"""Code of the user's own, named as ``file.py:name``: rewards, weights, curricula, transforms,
puzzles.

A file is run once, as its owner would run it: what lies beside it can be imported.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from observe_r1.errors import ConfigError

PLACE = r"^.+\.py:[A-Za-z_][A-Za-z_0-9]*$"
"""How such a name is written."""


def load_callable(place: str, kind: str, form: str) -> Callable[..., Any]:
    """The function or class named by ``file.py:name``; ``form`` says in errors how it is defined.

    Example:
        load_callable("my_reward.py:brief", "reward", "(attempt): return a number")
    """
    file, _, name = place.rpartition(":")
    found = getattr(run_file(Path(file), f"{kind} '{place}'"), name, None)
    if not callable(found):
        raise ConfigError(
            f"{kind} '{place}': {Path(file).name} has no function '{name}'. Define {name}{form}."
        )
    return found


def run_file(path: Path, wanted_by: str) -> ModuleType:
    """The module of a file, which must be one you trust; ``wanted_by`` says in errors what for.

    Example:
        run_file(Path("my_reward.py"), "reward 'my_reward.py:brief'")
    """
    file = path.expanduser().resolve()
    if not file.is_file():
        raise ConfigError(
            f"{wanted_by}: there is no file {file}. The path is relative to the directory the "
            "command runs in; give the file's full path or run from its directory."
        )
    name = f"observe_r1_user_{file.stem}_{sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{wanted_by}: {file} is not a Python file. Name one as file.py:NAME.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # last: nothing installed is hidden by what is beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file can fail in any way; say which file it was
        del sys.modules[name]
        raise ConfigError(
            f"{wanted_by}: {file} could not be run: {type(error).__name__}: {error}"
            f"{line_of(error, file)}"
        ) from error
    return module


def line_of(error: BaseException, file: Path | None = None) -> str:
    """Where an error was raised, in words to put behind it: in ``file``, if it came through that.

    Example:
        line_of(error) == " (my_reward.py, line 12)"
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if file is None or frame.filename == str(file)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
