"""A reward of the user's own: ``file.py:function``, without forking anything.

# my.py
def mentions_colour(attempt):
    '''attempt: observe_r1.rewards.Attempt; returns a number.'''
    return 1.0 if "red" in attempt.text else 0.0

rewards = [{ type = "user", path = "my.py:mentions_colour" }]

It may be called in another thread than the main one, beside an update (``rl.staleness``): no
signals in it, and no random numbers but its own.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from pydantic import Field

from observe_r1.errors import ConfigError
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig
from observe_r1.user_code import run_file

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
    file, _, name = path.rpartition(":")
    function = getattr(run_file(Path(file), f"reward '{path}'"), name, None)
    if not callable(function):
        raise ConfigError(
            f"reward '{path}': {Path(file).name} has no function '{name}'. Define it as "
            f"def {name}(attempt): return a number."
        )
    return cast(UserReward, function)
