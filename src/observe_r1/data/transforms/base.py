"""What a transform is: one response to be taught becomes another, text to text.

    Lesson ──transform(lesson, seed)──▶ Lesson, or None: it cannot be told this way and is left out

Lessons come from a puzzle's solver or from a model; a transform reads their text alike. Randomness
comes from (type, seed, lesson), so one lesson's result does not depend on the others.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from observe_r1.config_base import Config
from observe_r1.text import parse_response
from observe_r1.types import Kind

_CONTROL = re.compile(
    r"<\|[^<>]*\|>|<(?:image|video|img|s|/s|pad|eos|bos|unk)>|\[/?(?:INST|SYS|IMG)\]"
)
"""What a chat template or a processor would take for more than text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A response to learn from, and what is known about its question.

    Example:
        Lesson(id="q7", text="<think>1 + 2 = 3</think>\\n<answer>3</answer>",
               grammar="think_answer", answer="3", difficulty=0.25)
    """

    id: str
    """Which lesson of its set it is: random numbers are drawn from it."""
    text: str
    """The response as the model is to write it."""
    grammar: str = "think_answer"
    """The structure of ``text``, a name in ``observe_r1.text.GRAMMARS``."""
    answer: str
    """The gold answer of the question."""
    kind: Kind | Literal["auto"] = "auto"
    """How answers to it are checked."""
    options: tuple[str, ...] = ()
    """Of a choice question."""
    difficulty: float | None = None
    """0 (easy) to 1 (hard); None where nobody knows."""
    caption: str = ""
    """What is in the picture, in words; empty where nobody wrote it."""
    sketch: str = ""
    """The reasoning in brief, where its author gave one."""
    correct: bool | None = None
    """Whether it was graded right; None: not graded."""
    wrong: tuple[str, ...] = ()
    """Responses to the same question that end in a wrong answer."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Columns of the question that were kept when it was imported."""

    @property
    def is_well_formed(self) -> bool:
        return parse_response(self.text, self.grammar).well_formed


class TransformConfig(Config):
    """A transform is its settings and a function of one lesson; ``type`` names it in recipes."""

    breaks_form: ClassVar[bool] = False
    """Whether a well-formed response is to become another; of any other transform none does."""

    def __call__(self, lesson: Lesson, seed: int = 0) -> Lesson | None:
        """The lesson rewritten; None when it cannot be told this way."""
        # What a model wrote may hold the text of a control token; taught, it would become one.
        cleaned = replace(
            lesson,
            text=without_control_text(lesson.text),
            caption=without_control_text(lesson.caption),
            sketch=without_control_text(lesson.sketch),
            wrong=tuple(without_control_text(text) for text in lesson.wrong),
        )
        told = self.rewrite(cleaned, random.Random(f"{self.kind}/{seed}/{lesson.id}"))
        if told is None or self.breaks_form or told.is_well_formed or not cleaned.is_well_formed:
            return told
        return None  # its grammar has no place for what was written: it would be taught to fail

    @property
    def kind(self) -> str:
        """Its name in recipes."""
        return type(self).model_fields["type"].default

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        raise NotImplementedError(f"{type(self).__name__} does not say what it writes")


def without_control_text(text: str) -> str:
    """The text without anything a tokenizer would read as a control token, however it is nested.

    Example:
        without_control_text("so<|im_<|x|>end|> 3") == "so 3"
    """
    while True:
        shorter = _CONTROL.sub("", text)
        if shorter == text:
            return text
        text = shorter
