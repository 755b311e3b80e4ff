"""A reward of the user's own: ``file.py:function``, without forking anything.

# my.py
def mentions_colour(attempt):
    '''attempt: observe_r1.rewards.Attempt; returns a number.'''
    return 1.0 if "red" in attempt.text else 0.0

rewards = [{ type = "user", path = "my.py:mentions_colour" }]

It may be called in another thread than the main one, beside an update (``rl.staleness``): no
signals in it, and no random numbers but its own.
"""

import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from pydantic import Field

from observe_r1.errors import ConfigError
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig

UserReward = Callable[[Attempt], float]


class User(RewardConfig):
    """Whatever a function of the user's returns for an attempt."""

    type: Literal["user"] = "user"

    path: str = Field(pattern=r"^.+\.py:[A-Za-z_][A-Za-z_0-9]*$")
    """The file and the function in it: "my.py:reward"; relative to the working directory."""

    @property
    def label(self) -> str:
        return self.name or self.path.rpartition(":")[2]

    def __call__(self, attempt: Attempt) -> float:
        return load_function(self.path)(attempt)


@lru_cache(maxsize=64)
def load_function(path: str) -> UserReward:
    """The function named by ``file.py:function``."""
    file_name, _, function_name = path.rpartition(":")
    file = Path(file_name).expanduser().resolve()
    if not file.is_file():
        raise ConfigError(
            f"reward '{path}': there is no file {file}. The path is relative to the directory the "
            "command runs in; give the file's full path or run from its directory."
        )
    module_name = f"observe_r1_user_{file.stem}_{abs(hash(str(file))):x}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look their module up
    spec.loader.exec_module(module)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(
            f"reward '{path}': {file.name} has no function '{function_name}'. Define it as "
            f"def {function_name}(attempt): return a number."
        )
    return cast(UserReward, function)
