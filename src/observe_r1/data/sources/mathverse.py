"""MathVerse (Hugging Face AI4Math/MathVerse).

{"sample_index": "1", "problem_index": "1", "problem_version": "Text Dominant",
 "question": "As shown in the figure, … the degree of angle ADE is ()\\nChoices:\\nA:50°\\nB:60°",
 "image": "images_version_1-4/image_1.png", "answer": "B", "question_type": "multi-choice",
 "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", …}}

A "Vision Only" row has an empty question; what the picture asks stands in ``question_for_eval``.
"""

from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    RawQuestion,
    answer_of,
    images_of,
    optional_text,
    split_options,
    text_of,
)

IN_THE_PICTURE = "The question is in the picture. Answer it."
"""What is asked where the question stands only in the picture ("Vision Only")."""


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    question, options = split_options(text_of(row, "question"))
    if not question.strip():
        question = IN_THE_PICTURE
        options = split_options(optional_text(row, "question_for_eval") or "")[1]
    is_choice = row.get("question_type") == "multi-choice"
    return RawQuestion(
        id=text_of(row, "sample_index"),
        question=question,
        answer=answer_of(row, "answer"),
        images=images_of(row, "image"),
        options=options if is_choice else (),
        kind="choice" if is_choice else None,
        family=optional_text(row.get("metadata") or {}, "subject"),
    )


ADAPTER = Adapter(
    name="mathverse",
    title="MathVerse",
    reference="https://huggingface.co/datasets/AI4Math/MathVerse",
    status="from documentation",
    read=read_row,
)
