"""MMMU (Hugging Face MMMU/MMMU).

    {"id": "validation_Accounting_1", "question": "<image 1> A company has …", "answer": "B",
     "options": "['$63', '$58', '<image 2>', '$71']", "image_1": <image>, "image_2": <image>,
     "image_3": null, …, "question_type": "multiple-choice", "subfield": "Managerial Accounting"}

Options are a Python list written as text. Answers of open questions may be such a list too: several
spellings of one answer, of which the first is taken.
"""

import ast
from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    BadRow,
    RawQuestion,
    answer_of,
    optional_text,
    text_of,
)

_MOST_IMAGES = 7


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    options = _listed(row.get("options"))
    answer = answer_of(row, "answer")
    if row.get("question_type") == "open":
        options = ()
        answer = (_listed(answer) or (answer,))[0]
    numbered = [row.get(f"image_{number}") for number in range(1, _MOST_IMAGES + 1)]
    return RawQuestion(
        id=text_of(row, "id"),
        question=text_of(row, "question"),
        answer=answer,
        images=tuple(image for image in numbered if image is not None),
        options=options,
        kind="choice" if options else None,
        family=optional_text(row, "subfield"),
    )


def _listed(value: Any) -> tuple[str, ...]:
    """A list, or the text of one; nothing but literals is read."""
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    if not isinstance(value, str) or not value.strip().startswith("["):
        return ()
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BadRow("options cannot be read", value[:120]) from None
    return tuple(map(str, found)) if isinstance(found, list) else ()


ADAPTER = Adapter(
    name="mmmu",
    title="MMMU",
    reference="https://huggingface.co/datasets/MMMU/MMMU",
    status="from documentation",
    read=read_row,
)
