"""We-Math (We-Math/We-Math, data/testmini.json).

{"ID": "3steps_1", "split": "testmini", "knowledge concept": "Area of Circles",
 "question": "What is the area of the flower bed (  ) m²?",
 "option": "A. 200.96;B. 3215.36;C. 6280;D. 32; E. No correct answer", "answer": "B",
 "image_path": "3steps/image/1-3.png", "key": "3steps_3", "question number": 1575, …}
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
    lettered_options,
    optional_text,
    text_of,
)


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    text = text_of(row, "option")
    options = lettered_options(re.split(r";\s*(?=[A-J][.．:])", text.replace("．", ".")))
    if not options:
        raise BadRow("options cannot be read", text[:120])
    number = optional_text(row, "question number")
    return RawQuestion(
        id=f"{text_of(row, 'ID')}-{row.get('key', '')}-{number}" if number else text_of(row, "ID"),
        question=text_of(row, "question"),
        answer=answer_of(row, "answer"),
        images=images_of(row, "image", "image_path"),
        options=tuple(option.rstrip("; ") for option in options),
        kind="choice",
        family=optional_text(row, "knowledge concept"),
    )


ADAPTER = Adapter(
    name="we_math",
    title="We-Math",
    reference="https://github.com/We-Math/We-Math",
    status="from documentation",
    read=read_row,
)
