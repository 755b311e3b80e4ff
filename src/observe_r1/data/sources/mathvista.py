"""MathVista (Hugging Face AI4Math/MathVista).

    {"pid": "1", "question": "When a spring does work on an object, …", "image": "images/1.jpg",
     "decoded_image": <image>, "choices": null, "unit": null, "precision": 1.0, "answer": "1.2",
     "question_type": "free_form", "answer_type": "float", "metadata": {"task": "…", …}}

A multiple-choice answer is the text of a choice; ``answer_type`` "list" is an answer "[1, 2]".
"""

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


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    choices = tuple(map(str, row.get("choices") or ()))
    metadata = row.get("metadata") or {}
    question, unit = text_of(row, "question"), optional_text(row, "unit")
    return RawQuestion(
        id=text_of(row, "pid"),
        question=f"{question} (Unit: {unit})" if unit else question,
        answer=answer_of(row, "answer"),
        images=images_of(row, "decoded_image", "image"),
        options=choices,
        kind="choice" if choices else None,
        family=optional_text(metadata, "task"),
    )


ADAPTER = Adapter(
    name="mathvista",
    title="MathVista",
    reference="https://huggingface.co/datasets/AI4Math/MathVista",
    status="from documentation",
    read=read_row,
)
