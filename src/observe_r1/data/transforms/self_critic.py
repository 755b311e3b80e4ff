"""Self-critic style (RL with Cold Start, arXiv 2505.22334): an attempt, a comment on it, a better
one."""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import read_trace, with_thought


class SelfCritic(TransformConfig):
    """An attempt and what is to be said of it: a right one is confirmed, a wrong one improved.

    Example:
        "<think>2 + 1 = 3</think><answer>3</answer>", wrong "<think>2</think><answer>2</answer>"
        → "<think>2, so 2. Comment: this is wrong. Better: 2 + 1 = 3</think><answer>3</answer>"
    """

    type: Literal["self_critic"] = "self_critic"

    wrong: str = Field(default="Comment: this is wrong. Better:", min_length=1)
    """What is said of a wrong attempt."""

    right: str = Field(default="Comment: this is right.", min_length=1)
    """What is said of a right one."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        best = read_trace(lesson.text)
        if best is None or lesson.correct is False:
            return None
        if self.right in best.think or self.wrong in best.think:
            return lesson
        attempts = [path for text in lesson.wrong if (path := read_trace(text)) is not None]
        attempts = [path for path in attempts if path.answer != best.answer]
        if not attempts:
            said = f"{best.think.rstrip('. ')}. {self.right}"
        else:
            first = rng.choice(attempts)
            told = first.think.rstrip(". ")
            told += "" if told.endswith(first.answer) else f", so {first.answer}"
            said = f"{told}. {self.wrong} {best.think}"
        return replace(lesson, text=with_thought(lesson.text, said))
