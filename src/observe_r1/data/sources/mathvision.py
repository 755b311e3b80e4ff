"""MATH-Vision (mathllm/MATH-V; Hugging Face MathLLMs/MathVision).

    {"id": "6", "question": "In which picture can we see the kittens of Misty?\\n<image1>",
     "options": ["A", "B", "C", "D", "E"], "image": "images/6.jpg", "answer": "D",
     "solution": null, "level": 3, "subject": "logic"}

Every question has ONE picture. Several markers, or markers for options, name the parts of that one
picture, which holds them all; they are taken out of the text, where they would count as pictures.
The Hugging Face files hold the picture itself in ``decoded_image``.
"""

import re
from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    RawQuestion,
    answer_of,
    images_of,
    optional_text,
    text_of,
)

_MARKER = re.compile(r"<image\s*(\d*)>")
_OWN_LINE = re.compile(r"^[ \t]*(?:<image\s*\d*>[ \t]*)+$\n?", re.MULTILINE)


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    question, options = text_of(row, "question"), tuple(map(str, row.get("options") or ()))
    if options and all(_MARKER.fullmatch(option.strip()) for option in options):
        options = tuple("ABCDEFGHIJ"[: len(options)])
    if len(_MARKER.findall(question)) > 1:
        question = _OWN_LINE.sub("", question)
        question = _MARKER.sub(lambda match: f"(picture {match[1]})", question).strip()
    return RawQuestion(
        id=text_of(row, "id"),
        question=_MARKER.sub("<image>", question),
        answer=answer_of(row, "answer"),
        images=images_of(row, "decoded_image", "image"),
        options=options,
        kind="choice" if options else None,
        family=optional_text(row, "subject"),
    )


ADAPTER = Adapter(
    name="mathvision",
    title="MATH-Vision",
    reference="https://github.com/mathllm/MATH-V",
    status="checked on real files",
    read=read_row,
)
