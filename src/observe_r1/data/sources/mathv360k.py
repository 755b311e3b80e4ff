"""MathV360K (Hugging Face Zhiqiang007/MathV360K): LLaVA conversations.

    {"id": "identity_0", "image": "TabMWP/images/1.png", "conversations": [
      {"from": "human", "value": "<image>\\nHint: Please answer the question and provide the
        correct option letter at the end.\\nQuestion: Which?\\nChoices:\\n(A) 2\\n(B) 3"},
      {"from": "gpt", "value": "The answer is B"}]}

The hint tells how to answer, which is the recipe's business: it is taken out. The pictures lie in
``data_images/`` beside the file: ``--images data_images``.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from observe_r1.data.sources import sharegpt
from observe_r1.data.sources.base import Adapter, RawQuestion, split_options

_HINT = re.compile(r"^[ \t]*Hint:.*(?:\n|$)", re.MULTILINE)
_LABEL = re.compile(r"^[ \t]*Question:[ \t]*", re.MULTILINE)


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    raw = sharegpt.read_row(row)
    question, options = split_options(_LABEL.sub("", _HINT.sub("", raw.question)).strip())
    image = row.get("image")
    family = str(image).partition("/")[0] if isinstance(image, str) and "/" in image else None
    return replace(
        raw,
        # Ids such as identity_0 repeat over the parts of the set; the place in the file does not.
        id=None,
        question=question,
        options=options,
        kind="choice" if options else None,
        family=family,
    )


ADAPTER = Adapter(
    name="mathv360k",
    title="MathV360K",
    reference="https://huggingface.co/datasets/Zhiqiang007/MathV360K",
    status="from documentation",
    read=read_row,
)
