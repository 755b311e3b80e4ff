"""Reflection style (RL with Cold Start, arXiv 2505.22334): a wrong path, a turn, the right path."""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.puzzles.reflections import correct
from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import read_trace, with_thought


class Reflection(TransformConfig):
    """The thought of a wrong response, a cue to look again, then the thought of the right one.

    Example:
        "<think>2 + 1 = 3</think><answer>3</answer>", wrong "<think>2</think><answer>2</answer>"
        → "<think>2. Wait, let me look again: 2 + 1 = 3</think><answer>3</answer>"
    """

    type: Literal["reflection"] = "reflection"

    cue: str = Field(default="Wait, let me look again", min_length=1)
    """What stands between the paths."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        right = read_trace(lesson.text)
        paths = [path for text in lesson.wrong if (path := read_trace(text)) is not None]
        paths = [path for path in paths if right is not None and path.answer != right.answer]
        if right is None or lesson.correct is False or not paths:
            return None  # nobody went wrong here, so there is nothing to turn back from
        joined = correct(rng.choice(paths), right, self.cue)
        return replace(lesson, text=with_thought(lesson.text, joined.think))
