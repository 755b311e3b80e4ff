"""A reward of the user's own: ``file.py:function``, without forking anything.

# my.py
def mentions_colour(attempt):
    '''attempt: observe_r1.rewards.Attempt; returns a number.'''
    return 1.0 if "red" in attempt.text else 0.0

rewards = [{ type = "user", path = "my.py:mentions_colour" }]

It may be called in another thread than the main one, beside an update (``rl.staleness``): no
signals in it, and no random numbers but its own.
"""

from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig
from observe_r1.user_code import PLACE, load_callable

FORM = "(attempt): return a number"


class User(RewardConfig):
    """Whatever a function of the user's returns for an attempt."""

    type: Literal["user"] = "user"

    path: str = Field(pattern=PLACE)
    """The file and the function in it: "my.py:reward"; relative to the working directory."""

    @property
    def label(self) -> str:
        return self.name or self.path.rpartition(":")[2]

    def __call__(self, attempt: Attempt) -> float:
        return load_callable(self.path, "reward", FORM)(attempt)
