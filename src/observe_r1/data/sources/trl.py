"""What TRL's GRPOTrainer trains on: a prompt, pictures and a solution.

{"prompt": [{"role": "user", "content": "How many?"}], "image": <image>, "solution": "$3$"}
{"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "…"}]}],
 "images": [<image>], "solution": "<answer> 3 </answer>"}
"""

from collections.abc import Mapping
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    BadRow,
    RawQuestion,
    answer_of,
    final_answer,
    images_of,
    optional_text,
)
from observe_r1.data.sources.observe_r1_jsonl import read_content


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    prompt = row.get("prompt", row.get("problem"))
    inside: tuple[Any, ...] = ()
    if isinstance(prompt, list):
        asked = [turn for turn in prompt if turn.get("role") == "user"]
        if len(asked) != 1:
            raise BadRow("not one question and one answer", f"{len(asked)} user turns")
        question, inside = read_content(asked[0].get("content"))
    elif isinstance(prompt, str):
        question = prompt
    else:
        raise BadRow("field missing", "prompt")
    images = images_of(row, "images", "image") or tuple(i for i in inside if i is not None)
    return RawQuestion(
        id=optional_text(row, "id"),
        question=question,
        answer=final_answer(answer_of(row, "solution", "answer")),
        images=images,
    )


ADAPTER = Adapter(
    name="trl",
    title="TRL prompt, images and solution",
    reference="https://huggingface.co/docs/trl/dataset_formats",
    status="from documentation",
    read=read_row,
)
