"""Format corruption (SPECS, arXiv 2510.25801): the right answer in a form that cannot be read.

The rejected side of a preference pair: reasoning and answer stay, only the form breaks, so that
what is learnt is the form and nothing else.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import Field

from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.sections import plain, section, thought, thought_tag
from observe_r1.text import last_section

Kind = Literal[
    "no_tags", "no_answer_tag", "unclosed_answer", "tags_as_words", "shifted_tag", "answer_first",
    "answer_twice", "unclosed_thought",
]  # fmt: skip


class CorruptFormat(TransformConfig):
    """One of several ways to break a well-formed response; its answer still stands in it.

    Example:
        "<think>1 + 2 = 3</think>\\n<answer>3</answer>", no_answer_tag
        → "<think>1 + 2 = 3</think>\\nThe answer is 3."
    """

    type: Literal["corrupt_format"] = "corrupt_format"
    breaks_form = True

    kinds: tuple[Kind, ...] = Field(
        default=("no_tags", "no_answer_tag", "unclosed_answer", "tags_as_words", "shifted_tag"),
        min_length=1,
    )
    """The ways to choose from, each as often as the others."""

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        answer = last_section(lesson.text, "answer")
        if answer is None or thought_tag(lesson.text) is None or not lesson.is_well_formed:
            return None  # broken already, or nothing in it to break
        # Not every way breaks every grammar: a thought may hold any text. Try them in turns.
        for kind in rng.sample(self.kinds, len(self.kinds)):
            broken = replace(lesson, text=_BREAK[kind](lesson.text, answer))
            if not broken.is_well_formed:
                return broken
        return None


def _no_tags(text: str, answer: str) -> str:
    return f"{plain(_without_answer(text))}\nThe answer is {answer}."


def _no_answer_tag(text: str, answer: str) -> str:
    return f"{_without_answer(text)}\nThe answer is {answer}."


def _unclosed_answer(text: str, answer: str) -> str:
    return f"{_without_answer(text)}\n<answer>{answer}"


def _tags_as_words(text: str, answer: str) -> str:
    looked = section(text, "observe")
    told = [f"Observation: {plain(looked)}"] if looked else []
    return "\n".join([*told, f"Thought: {plain(thought(text) or '')}", f"Answer: {answer}"])


def _shifted_tag(text: str, answer: str) -> str:
    """The thought's closing tag has slipped behind the answer."""
    tag = thought_tag(text)
    return text.rstrip().replace(f"</{tag}>", "", 1) + f"</{tag}>"


def _answer_first(text: str, answer: str) -> str:
    return f"<answer>{answer}</answer>\n{_without_answer(text)}"


def _answer_twice(text: str, answer: str) -> str:
    return f"{text.rstrip()}\n<answer>{answer}</answer>"


def _unclosed_thought(text: str, answer: str) -> str:
    return text.replace(f"</{thought_tag(text)}>", "", 1)


def _without_answer(text: str) -> str:
    return text[: text.rfind("<answer>")].rstrip()


_BREAK: dict[str, Callable[[str, str], str]] = {
    "no_tags": _no_tags,
    "no_answer_tag": _no_answer_tag,
    "unclosed_answer": _unclosed_answer,
    "tags_as_words": _tags_as_words,
    "shifted_tag": _shifted_tag,
    "answer_first": _answer_first,
    "answer_twice": _answer_twice,
    "unclosed_thought": _unclosed_thought,
}
