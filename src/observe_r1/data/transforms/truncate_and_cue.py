"""Truncate and cue (TH2T, arXiv 2507.02663): a thought ends where it stops getting on.

The tail that states nothing new is cut off, and a cue says why one may stop.
"""

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.chunks import is_looping, redundant_from, split_chunks
from observe_r1.data.transforms.sections import thought, with_thought


class TruncateAndCue(TransformConfig):
    """The thought up to its last new statement, then a cue; a thought that ends with one stays.

    Example:
        "<think>1 + 2 = 3. Let me check: 1 + 2 = 3. It is the same</think>\\n<answer>3</answer>"
        → "<think>1 + 2 = 3. All is fine, so I go on.</think>\\n<answer>3</answer>"
    """

    type: Literal["truncate_and_cue"] = "truncate_and_cue"

    redundant: str = Field(default="All is fine, so I go on.", min_length=1)
    """Cue where the rest only repeats what was found."""

    looping: str = Field(default="I go round in circles, so I stop.", min_length=1)
    """Cue where the rest says the same thing three times or more."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        reasoning = thought(lesson.text)
        if reasoning is None:
            return None
        if reasoning.endswith((self.redundant, self.looping)):
            return lesson  # cut before
        chunks = split_chunks(reasoning)
        cut = redundant_from(chunks)
        if cut is None:
            return lesson
        kept = " ".join(chunks[:cut])
        kept += "" if kept.endswith((".", "!", "?")) else "."
        cue = self.looping if is_looping(chunks) else self.redundant
        return replace(lesson, text=with_thought(lesson.text, f"{kept} {cue}"))
