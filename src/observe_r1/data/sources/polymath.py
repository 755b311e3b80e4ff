"""PolyMATH (Hugging Face him1411/polymath): one picture a row that holds question and options.

    {"image": {"bytes": …, "path": "02c5165a-…_q42.png"}, "category": "pattern_recognition",
     "final_answer": "2", "final_answer_range": "1-4", "answer_option": …}

The labels in ``final_answer_range`` ("1-4", "1,2,3,4", "A-D", sometimes empty) are those printed in
the picture, so they are what is answered with; the authors' evaluation takes A for 1, B for 2, and
so does a choice here. The card describes the splits; the columns are those that the authors'
inference (``inference_models/claude.py`` in their repository) and a published conversion of the
hub's ``test`` split read. ``answer_option`` is not read: what it holds is described nowhere.
"""

import re
from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    BadRow,
    RawQuestion,
    answer_of,
    images_of,
    optional_text,
)

QUESTION = "Answer the question in the picture with the label of the right option."
_RANGE = re.compile(r"\s*([A-Za-z]|\d)\s*(?:-|to|–)\s*([A-Za-z]|\d)\s*")
_FIRST_FOUR = {"letters": ("A", "B", "C", "D"), "digits": ("1", "2", "3", "4")}


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    answer = answer_of(row, "final_answer").strip().strip("[]()").upper()
    if "," in answer:
        raise BadRow("not one question and one answer", f"several options are right: {answer}")
    return RawQuestion(
        id=_row_id(row),
        question=QUESTION,
        answer=answer,
        images=images_of(row, "image", "file_name"),
        options=option_labels(optional_text(row, "final_answer_range") or "", answer),
        kind="choice",
        family=optional_text(row, "category"),
    )


def option_labels(written: str, answer: str) -> tuple[str, ...]:
    """The labels that a range names; four of the answer's kind where there is none.

    Example:
        option_labels("1-4", "2") == ("1", "2", "3", "4")
    """
    written = written.strip().strip("[]()").upper()
    ends = _RANGE.fullmatch(written)
    if ends:
        return tuple(chr(code) for code in range(ord(ends[1]), ord(ends[2]) + 1))
    listed = tuple(label.strip() for label in written.split(",") if label.strip())
    if len(listed) > 1:
        return listed
    return _FIRST_FOUR["digits" if answer.isdigit() else "letters"]


def _row_id(row: Mapping[str, Any]) -> str | None:
    """The picture's name: its paper and number."""
    picture = row.get("image")
    path = picture.get("path") if isinstance(picture, Mapping) else row.get("file_name")
    name = str(path or "").rpartition("/")[2].rpartition(".")[0]
    return name or optional_text(row, "id")


ADAPTER = Adapter(
    name="polymath",
    title="PolyMATH",
    reference="https://huggingface.co/datasets/him1411/polymath, "
    "https://github.com/polymathbenchmark/PolyMATH",
    status="from documentation",
    read=read_row,
)
