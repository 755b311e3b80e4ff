"""Chats with images, "sharegpt" or OpenAI style: one question and its answer a row.

{"id": "7", "image": "a.png", "conversations": [
    {"from": "human", "value": "<image>\\nHow many?"}, {"from": "gpt", "value": "Two. Answer: 2"}]}
{"images": ["a.png"], "messages": [
    {"role": "user", "content": "<image>How many?"}, {"role": "assistant", "content": "2"}]}
"""

from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    BadRow,
    RawQuestion,
    final_answer,
    images_of,
    optional_text,
)

_ASKING = {"human", "user"}
_ANSWERING = {"gpt", "assistant", "model"}


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    turns = row.get("conversations") or row.get("messages")
    if not isinstance(turns, list) or not turns:
        raise BadRow("field missing", "neither conversations nor messages")
    asked: list[str] = []
    answered: list[str] = []
    for turn in turns:
        speaker = str(turn.get("from") or turn.get("role"))
        said = turn.get("value") if "value" in turn else turn.get("content")
        if not isinstance(said, str):
            raise BadRow("row cannot be read", "a turn that is no text")
        if speaker in _ASKING:
            asked.append(said)
        elif speaker in _ANSWERING:
            answered.append(said)
    if len(asked) != 1 or len(answered) != 1:
        raise BadRow("not one question and one answer", f"{len(asked)} and {len(answered)} turns")
    return RawQuestion(
        id=optional_text(row, "id"),
        question=asked[0],
        answer=final_answer(answered[0]),
        images=images_of(row, "images", "image"),
        family=optional_text(row, "category", "subject"),
    )


ADAPTER = Adapter(
    name="sharegpt",
    title="chats with images",
    reference="https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md",
    status="from documentation",
    read=read_row,
)
