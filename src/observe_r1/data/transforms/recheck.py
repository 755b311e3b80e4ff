"""Over-long thoughts: the same reasoning gone through again and again.

What a long chain of a distilled model looks like to a small one: right, and not better for its
length. Vision-R1 (arXiv 2503.06749) calls the result overthinking; here it is made, to be undone.
"""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import thought, with_thought


class Recheck(TransformConfig):
    """The thought, then between ``least`` and ``most`` times "Let me check", and the thought again.

    Example:
        "<think>1 + 2 = 3</think>\\n<answer>3</answer>", once
        → "<think>1 + 2 = 3. Let me check: 1 + 2 = 3. It is the same</think>\\n<answer>3</answer>"
    """

    type: Literal["recheck"] = "recheck"

    least: int = Field(default=1, ge=0)
    """Fewest repetitions."""

    most: int = Field(default=3, ge=0)
    """Most repetitions."""

    cue: str = Field(default="Let me check:", min_length=1)
    """What stands before a repetition."""

    close: str = "It is the same"
    """What stands behind it."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        reasoning = thought(lesson.text)
        if not reasoning:
            return None
        once = reasoning.rstrip(". ")
        times = rng.randint(min(self.least, self.most), self.most)
        parts = [once, *(f"{self.cue} {once}. {self.close}".rstrip(". ") for _ in range(times))]
        return replace(lesson, text=with_thought(lesson.text, ". ".join(parts)))
