"""Thought dropout (TON, arXiv 2505.16854): some lessons lose their thought and keep the answer.

A model that has learned both can later choose, and reinforcement learning has something to choose
from: a bonus for empty thoughts alone never finds the first one.
"""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import thought_tag, with_thought


class ThoughtDropout(TransformConfig):
    """The thought of a share of the lessons becomes two line breaks.

    Example:
        "<think>1 + 2 = 3</think>\\n<answer>3</answer>"
        → "<think>\\n\\n</think>\\n<answer>3</answer>"
    """

    type: Literal["thought_dropout"] = "thought_dropout"

    share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Of all lessons, how many lose their thought."""

    choose: Literal["random", "easy"] = "random"
    """``random``: any lesson; ``easy``: those whose difficulty is below the share."""

    blank: str = "\n\n"
    """What stands in the thought's place."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        if thought_tag(lesson.text) is None:
            return None  # there is no thought that could be dropped
        if not self._is_chosen(lesson, rng):
            return lesson
        # In the one grammar that knows empty thoughts; others leave such a lesson out.
        grammar = "think_or_not" if lesson.grammar == "think_answer" else lesson.grammar
        return replace(lesson, text=with_thought(lesson.text, self.blank), grammar=grammar)

    def _is_chosen(self, lesson: Lesson, rng: random.Random) -> bool:
        if self.choose == "easy" and lesson.difficulty is not None:
            return lesson.difficulty < self.share
        return rng.random() < self.share
