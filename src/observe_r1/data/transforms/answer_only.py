"""The answer without any reasoning: what a cold start without thoughts is taught with."""

import random
from dataclasses import replace
from typing import Literal

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.text import last_section


class AnswerOnly(TransformConfig):
    """Nothing but the answer section.

    Example:
        "<think>1 + 2 = 3</think>\\n<answer>3</answer>" → "<answer>3</answer>"
    """

    type: Literal["answer_only"] = "answer_only"

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        answer = last_section(lesson.text, "answer")
        if answer is None:
            return None
        return replace(lesson, text=f"<answer>{answer}</answer>", grammar="answer")
