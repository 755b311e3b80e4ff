"""Difficulty prefix (TH2T, arXiv 2507.02663): the response begins with how hard the question is.

Easy questions are taught with a brief thought behind the prefix, hard ones with a long one; the
prefix is written by the model itself, so it decides how long to think before it does.
"""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import section, thought_tag, with_section, with_thought

GRAMMAR = "difficulty_think_answer"


class DifficultyPrefix(TransformConfig):
    """A section with a marker sentence before everything else, and a brief thought behind "easy".

    Example:
        "<think>long</think>\\n<answer>3</answer>", difficulty 0.1, sketch "short"
        → "<difficulty>easy, think quickly</difficulty>\\n<think>short</think>\\n<answer>3</answer>"
    """

    type: Literal["difficulty_prefix"] = "difficulty_prefix"

    hard_from: float = Field(default=0.5, ge=0.0, le=1.0)
    """Questions of at least this difficulty are hard."""

    easy: str = Field(default="easy, think quickly", min_length=1)
    """Marker of easy questions."""

    hard: str = Field(default="hard, think thoroughly", min_length=1)
    """Marker of hard questions."""

    brief_when_easy: bool = True
    """Whether an easy question's thought is replaced by the lesson's sketch, where it has one."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        if lesson.difficulty is None or thought_tag(lesson.text) is None:
            return None
        is_hard = lesson.difficulty >= self.hard_from
        marker, text = self.hard if is_hard else self.easy, lesson.text
        if not is_hard and self.brief_when_easy and lesson.sketch:
            text = with_thought(text, lesson.sketch)
        if section(text, "difficulty") is not None:
            return replace(lesson, text=with_section(text, "difficulty", marker))
        prefixed = f"<difficulty>{marker}</difficulty>\n{text.lstrip()}"
        return replace(lesson, text=prefixed, grammar=GRAMMAR)


def stated_difficulty(text: str) -> Literal["easy", "hard"] | None:
    """What a response says of its question's difficulty; None when it says nothing.

    Example:
        stated_difficulty("<difficulty>hard, think thoroughly</difficulty>…") == "hard"
    """
    stated = (section(text, "difficulty") or "").strip().lower()
    if stated.startswith("easy"):
        return "easy"
    return "hard" if stated.startswith("hard") else None
