"""MMStar (arXiv 2403.20330): 1,500 questions that need their picture.

    {"index": 0, "question": "Which option describes the object relationship correctly?\\nOptions:
     A: The suitcase is on the book., B: The suitcase is beneath the cat., …",
     "image": {"bytes": …}, "answer": "A", "category": "coarse perception",
     "l2_category": "image scene and topic", "meta_info": {…}}

Its own scoring compares the letter that the response picks with the gold; the breakdown is by
category.
"""

import re
from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    BadRow,
    RawQuestion,
    images_of,
    optional_text,
    text_of,
)
from observe_r1.eval.benchmarks.base import Benchmark, family_of, mean_by
from observe_r1.eval.benchmarks.letters import picks_gold

_OPTIONS = re.compile(r"\s*Options:\s*(?=A\s*[:.])", re.I)
_OPTION = re.compile(r"(?:^|,\s*|\n\s*)([A-H])\s*[:.]\s*")


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    question, *tail = _OPTIONS.split(text_of(row, "question"), maxsplit=1)
    options = split_listed(tail[0]) if tail else ()
    if len(options) < 2:
        raise BadRow("options cannot be read", text_of(row, "question")[-120:])
    return RawQuestion(
        id=text_of(row, "index"),
        question=question.strip(),
        answer=text_of(row, "answer"),
        images=images_of(row, "image"),
        options=options,
        kind="choice",
        family=optional_text(row, "category"),
    )


def split_listed(text: str) -> tuple[str, ...]:
    """Options that follow each other in one line.

    Example:
        split_listed("A: on the book., B: under it, C: beside, or near, it") ==
        ("on the book.", "under it", "beside, or near, it")
    """
    options: list[str] = []
    place = 0
    for match in _OPTION.finditer(text):
        if match[1] != chr(ord("A") + len(options)):
            continue  # a letter inside an option's text
        if options:
            options[-1] = text[place : match.start()].strip()
        options.append("")
        place = match.end()
    if options:
        options[-1] = text[place:].strip()
    return tuple(options)


BENCHMARK = Benchmark(
    name="mmstar",
    title="MMStar",
    adapter=Adapter(
        name="mmstar",
        title="MMStar",
        reference="https://huggingface.co/datasets/Lin-Chen/MMStar",
        status="from documentation",
        read=read_row,
    ),
    hub="Lin-Chen/MMStar:val/val",
    columns=("index", "question", "image", "answer", "category"),
    is_right=picks_gold,
    combine=mean_by(family_of),
)
