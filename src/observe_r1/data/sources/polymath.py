"""PolyMATH (Hugging Face him1411/polymath): a folder of pictures with a table beside them.

    {"file_name": "02c5165a-88ae-5255-b9ae-927132c93df1_q42.png", "id": "…_q42",
     "question": "Which figure completes the pattern?\\nA. …\\nB. …", "answer": "B",
     "category": "pattern_recognition"}

The card names the layout, not the columns; the ones read here are those the layout asks for and the
usual words for the rest. Rows without them are rejected by name, none is guessed at.
"""

from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    RawQuestion,
    images_of,
    optional_text,
    split_options,
    text_of,
)


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    question, options = split_options(text_of(row, "question"))
    listed = row.get("options") or row.get("choices")
    if isinstance(listed, list | tuple):
        options = tuple(map(str, listed))
    return RawQuestion(
        id=optional_text(row, "id", "question_id", "file_name"),
        question=question,
        answer=text_of(row, "answer"),
        images=images_of(row, "image", "file_name", "image_path"),
        options=options,
        kind="choice" if options else None,
        family=optional_text(row, "category", "subcategory"),
    )


ADAPTER = Adapter(
    name="polymath",
    title="PolyMATH",
    reference="https://huggingface.co/datasets/him1411/polymath",
    status="from documentation",
    read=read_row,
)
