"""A transform of the user's own: ``file.py:function``.

# my_transform.py
from dataclasses import replace

def shouted(lesson, rng):
    '''lesson: observe_r1.data.transforms.Lesson; returns another, or None to leave it out.'''
    return replace(lesson, text=lesson.text.replace("so ", "SO "))

transforms = [{ type = "user", path = "my_transform.py:shouted" }]
"""

import random
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.errors import DataError
from observe_r1.user_code import PLACE, line_of, load_callable


class User(TransformConfig):
    """Whatever a function of the user's writes."""

    type: Literal["user"] = "user"

    path: str = Field(pattern=PLACE)
    """The file and the function in it: "my_transform.py:shouted"; relative to the working
    directory."""

    @property
    def kind(self) -> str:
        return self.path.rpartition(":")[2]

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        function = load_callable(self.path, "transform", "(lesson, rng): return a lesson or None")
        try:
            told = function(lesson, rng)
        except Exception as error:  # the user's code: whatever it raises has a line
            raise DataError(
                f"transform '{self.path}' on lesson '{lesson.id}' raised {type(error).__name__}: "
                f"{error}{line_of(error)}"
            ) from error
        if told is not None and not isinstance(told, Lesson):
            raise DataError(
                f"transform '{self.path}' returned {type(told).__name__}. Return a Lesson, made "
                "with dataclasses.replace(lesson, text=...), or None to leave it out."
            )
        return told
