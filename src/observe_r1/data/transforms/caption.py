"""Caption style (RL with Cold Start, arXiv 2505.22334): describe the picture, then reason."""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import plain, section, thought, with_thought


class Caption(TransformConfig):
    """A description of the picture at the beginning of the thought.

    Example:
        "<think>2 + 1 = 3</think>", caption "1: red -; 2: red red"
        → "<think>The picture shows: 1: red -; 2: red red. 2 + 1 = 3</think>"
    """

    type: Literal["caption"] = "caption"

    opening: str = Field(default="The picture shows:", min_length=1)
    """What stands before the description."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        reasoning = thought(lesson.text)
        described = plain(lesson.caption or section(lesson.text, "observe") or "").rstrip(". ")
        if reasoning is None or not described:
            return None
        if reasoning.startswith(self.opening):
            return lesson
        return replace(
            lesson, text=with_thought(lesson.text, f"{self.opening} {described}. {reasoning}")
        )
