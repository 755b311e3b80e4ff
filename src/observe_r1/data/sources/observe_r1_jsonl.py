"""The JSON lines that Observe-R1's and LMM-R1's training scripts read: a chat as text in a row.

    {"message": TEXT, "answer": "$3$"}   where TEXT is, as JSON,
    [{"role": "system", "content": "…"},
     {"role": "user", "content": [{"type": "image", "image": "file:///data/1.png"},
                                  {"type": "text", "text": "Find x."}]}]

The system turn is the recipe's business and is left out.
"""

import json
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


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    try:
        turns = json.loads(text_of(row, "message"))
    except ValueError as error:
        raise BadRow("row cannot be read", f"message is not JSON: {error}") from None
    asked = [t for t in turns if isinstance(t, dict) and t.get("role") == "user"]
    if len(asked) != 1:
        raise BadRow("not one question and one answer", f"{len(asked)} user turns")
    question, images = read_content(asked[0].get("content"))
    return RawQuestion(
        id=optional_text(row, "id"),
        question=question,
        answer=answer_of(row, "answer"),
        images=images,
    )


def read_content(content: Any) -> tuple[str, tuple[Any, ...]]:
    """A turn's text with a marker a picture, and the pictures."""
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise BadRow("row cannot be read", "a turn without content")
    texts: list[str] = []
    images: list[Any] = []
    for part in content:
        if part.get("type") == "text":
            texts.append(str(part.get("text") or ""))
        elif part.get("type") in ("image", "image_url"):
            texts.append("<image>")
            reference = part.get("image") or part.get("image_url")
            images.append(reference.get("url") if isinstance(reference, dict) else reference)
        else:
            raise BadRow("row cannot be read", f"a part of type {part.get('type')!r}")
    return "".join(texts), tuple(images)


ADAPTER = Adapter(
    name="observe_r1_jsonl",
    title="Observe-R1's and LMM-R1's JSON lines",
    reference="https://github.com/zrguo/Observe-R1",
    status="from documentation",
    read=read_row,
)
