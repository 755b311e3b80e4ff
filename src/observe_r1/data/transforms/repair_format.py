"""Format repair (SPECS, arXiv 2510.25801): a readable response put into its proper form.

The chosen side of a preference pair: the model's own words and answer, in the tags they belong in.
"""

import random
import re
from dataclasses import replace
from typing import Literal

from observe_r1.data.puzzles.base import Trace
from observe_r1.data.puzzles.traces import RENDERED_GRAMMARS, render
from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import plain, section
from observe_r1.grading import grade
from observe_r1.grading.extract import extract_answer

_SPOKEN = re.compile(r"\s*(?:so\s+)?(?:the\s+)?(?:final\s+)?answer(?:\s+is|:).*\Z", re.I | re.S)
_NOT_WORDS = re.compile(r"<\||\|>|</?[A-Za-z_]+>|\[/?[A-Z]{3,}\]")


class RepairFormat(TransformConfig):
    """The same reasoning and answer, well formed; well-formed responses stay as they are.

    Example:
        "<think>1 + 2 = 3</think>\\nThe answer is 3."
        → "<think>1 + 2 = 3</think>\\n<answer>3</answer>"
    """

    type: Literal["repair_format"] = "repair_format"

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        if lesson.is_well_formed:
            return lesson
        answer, _ = extract_answer(lesson.text, "plain")
        reasoning = plain(section(lesson.text, "think") or _before_answer(lesson.text))
        looked = plain(section(lesson.text, "observe") or section(lesson.text, "facts") or "")
        answer = (answer or "").rstrip(" .")
        if not answer or not reasoning or lesson.grammar not in RENDERED_GRAMMARS:
            return None
        looked, reasoning, answer = (
            _NOT_WORDS.sub("", part).strip() for part in (looked, reasoning, answer)
        )
        for said in (answer, lesson.answer) if lesson.correct else (answer,):
            trace = Trace(observe=looked, think=reasoning, sketch=reasoning, answer=said)
            repaired = replace(lesson, text=render(trace, lesson.grammar))
            if repaired.is_well_formed and (not lesson.correct or _is_right(repaired)):
                return repaired
        return None


def _is_right(lesson: Lesson) -> bool:
    """As training reads it. An answer told in a sentence was right, and is none within the tags."""
    options = lesson.options or None
    return grade(lesson.text, lesson.answer, kind=lesson.kind, options=options).correct


def _before_answer(text: str) -> str:
    """What stands before the answer section, or before the sentence that tells the answer."""
    return _SPOKEN.sub("", text.partition("<answer>")[0])
