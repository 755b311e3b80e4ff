"""Sketch rewrite (SketchThinker-R1, arXiv 2601.02825): a long thought as a short numbered list.

Facts and their order stay; repetition and filler go. Where the author of a lesson gave a sketch of
the reasoning, that is written; else the list is made from the long thought by rule.
"""

import random
import re
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.chunks import split_chunks, statement
from observe_r1.data.transforms.sections import plain, read_trace, section, with_section

GRAMMARS = {"sketch": "sketch", "think": "think_answer"}
"""The grammar of a response whose list stands in that section."""
_STEP_END = re.compile(r"\s*;\s*|\s*,\s+(?=\S)")
_FILLER = re.compile(
    r"^(?:(?:let me|i (?:will|can|need to|see that|think)|we (?:have|can|need to)|then|therefore|"
    r"so|that means|it follows that|there (?:is|are))\b|(?:first|next)$)[ ,]*",
    re.IGNORECASE,
)
"""What a step begins with and can do without; "the first bar" and "next to it" cannot."""
_NUMBER = re.compile(r"^\s*\d+\.\s+", re.MULTILINE)


class Sketch(TransformConfig):
    """``<sketch>`` with the key steps, numbered, then the answer.

    Example:
        "<think>I see that row 1 has 2. Then row 2 has 1. So 2 + 1 = 3</think><answer>3</answer>"
        → "<sketch>1. row 1 has 2\\n2. row 2 has 1\\n3. 2 + 1 = 3</sketch>\\n<answer>3</answer>"
    """

    type: Literal["sketch"] = "sketch"

    most_steps: int = Field(default=8, ge=1)
    """Of longer lists the last steps are kept: they lead to the answer."""

    tag: Literal["sketch", "think"] = "sketch"
    """The section the list is written in: its own, or where the thought was."""

    use_given: bool = True
    """Whether a sketch that the lesson brings is preferred to one made by rule."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        trace = read_trace(lesson.text)
        if trace is None:
            return None
        given = lesson.sketch if self.use_given and section(lesson.text, "sketch") is None else ""
        steps = key_steps(given or trace.think)[-self.most_steps :]
        if not steps:
            return None
        listed = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
        if self.tag == "think" and section(lesson.text, "think") is not None:
            return replace(lesson, text=with_section(lesson.text, "think", listed))
        text = f"<{self.tag}>{listed}</{self.tag}>\n<answer>{trace.answer}</answer>"
        return replace(lesson, text=text, grammar=GRAMMARS[self.tag])


def key_steps(reasoning: str) -> list[str]:
    """The steps of a reasoning in order, without filler and without what was said before.

    Example:
        key_steps("First, 1 + 2 = 3. Let me check: 1 + 2 = 3.") == ["1 + 2 = 3"]
    """
    steps: list[str] = []
    said: set[str] = set()
    for chunk in split_chunks(_NUMBER.sub("", plain(reasoning))):
        for part in _STEP_END.split(chunk):
            step = _shorten(part)
            if step and (stated := statement(step)) and stated not in said:
                said.add(stated)
                steps.append(step)
    return steps


def _shorten(part: str) -> str:
    shorter = part.strip(" .,:;!?")
    while (step := _FILLER.sub("", shorter, count=1)) != shorter:
        shorter = step
    return " ".join(shorter.split()).strip(" .,:;!?")
