"""Modality bridging (Vision-R1, arXiv 2503.06749): a reasoner that cannot see explains a picture.

    picture, question ──describe──▶ description ──text only──▶ chain ──this transform──▶ lesson

A model that sees describes the picture; one that reasons solves the question from the words alone
(a ``teach`` stage with ``show_images = false`` and a hint of the description); its chain is put
behind the picture again. A chain that speaks of a description is reworded, one that misses
something in it is left out.
"""

import random
import re
from dataclasses import replace
from typing import Literal

from observe_r1.data.transforms.base import Lesson, TransformConfig

_DESCRIPTION = re.compile(
    r"\b(the|this|that|my|your)\s+(?:(?:text|textual|given|provided|written)\s+)?"
    r"(?:description|caption|text|passage)\b",
    re.IGNORECASE,
)
_ACCORDING = re.compile(
    r"\b(?:according to|based on|from) what (?:is|was) (?:described|written)\b", re.IGNORECASE
)
_VERBS = {
    "says": "shows", "states": "shows", "mentions": "shows", "describes": "shows",
    "said": "showed", "stated": "showed", "mentioned": "showed", "described": "showed",
}  # fmt: skip
_SAID = re.compile(rf"\bthe picture ({'|'.join(_VERBS)})\b", re.IGNORECASE)
_BLIND = re.compile(
    r"\b(?:can(?:not|'t) see|without (?:seeing|access to)|no (?:picture|image) (?:is|was|has)"
    r"|(?:is|are|was|were)(?: not|n't) (?:described|mentioned|given|specified|provided)"
    r"|does(?: not|n't) (?:say|mention|specify|describe))\b",
    re.IGNORECASE,
)


class Bridge(TransformConfig):
    """A chain written from a description, as if its writer had looked at the picture.

    Example:
        "<think>The description says 2 red, 1 blue. 2 + 1 = 3</think>\\n<answer>3</answer>"
        → "<think>The picture shows 2 red, 1 blue. 2 + 1 = 3</think>\\n<answer>3</answer>"
    """

    type: Literal["bridge"] = "bridge"

    def rewrite(self, lesson: Lesson, rng: random.Random) -> Lesson | None:
        if _BLIND.search(lesson.text):
            return None  # the writer missed something that the picture would have shown
        thought, tag, answer = lesson.text.rpartition("<answer>")  # which may name a caption
        return replace(lesson, text=as_seen(thought) + tag + answer if tag else as_seen(answer))


def as_seen(text: str) -> str:
    """Words about a description turned into words about a picture.

    Example:
        as_seen("According to the description, the text mentions 3 dots")
        == "According to the picture, the picture shows 3 dots"
    """
    text = _DESCRIPTION.sub(lambda found: _like(found.group(), "the picture"), text)
    text = _ACCORDING.sub(lambda found: _like(found.group(), "as the picture shows"), text)
    return _SAID.sub(_shows, text)


def _shows(found: re.Match[str]) -> str:
    subject = found.group()[: -len(found.group(1))]
    return subject + _VERBS[found.group(1).lower()]


def _like(written: str, text: str) -> str:
    return text[0].upper() + text[1:] if written[0].isupper() else text
