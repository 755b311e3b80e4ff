"""SceMQA (SceMQA/SceMQA): ``Multiple_Choice/multiple_choice.json`` and ``Free_Response/…json``.

    {"Math": [{"Question": "At which x is f not differentiable?\\n\\nA. a\\nB. b\\nC. c\\nD. d",
               "Answer (final answer highlighted)": "D", "ImagePath": "Math/1"}, …], "Physics": …}

The image path has no ending. A free-response answer marks the final one in its explanation:
``\\answer{No} We note that …``.
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
    split_options,
    text_of,
)

_HIGHLIGHTED = re.compile(r"\\+answer\{((?:[^{}]|\{[^{}]*\})*)\}")
_LETTER = re.compile(r"\s*\(?([A-J])\)?(?![A-Za-z])")


def records(content: dict[str, Any]) -> list[Any]:
    """The rows of all subjects, each with its subject and its number in it; what is no row is
    left as it is, to be counted as one that cannot be read."""
    rows = []
    for subject, questions in content.items():
        listed = questions if isinstance(questions, list) else [questions]
        for number, question in enumerate(listed, start=1):
            is_row = isinstance(question, dict)
            rows.append({**question, "subject": subject, "number": number} if is_row else question)
    return rows


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    question, options = split_options(text_of(row, "Question"))
    written = answer_of(row, "Answer (final answer highlighted)")
    marked = _HIGHLIGHTED.search(written)
    letter = _LETTER.match(written)
    if marked:
        answer = marked[1]
    elif options and letter:
        answer = letter[1]
    elif len(written.split()) <= 8:
        answer = written
    else:
        raise BadRow("answer cannot be checked", "an explanation without a highlighted answer")
    return RawQuestion(
        id=f"{text_of(row, 'subject')}-{text_of(row, 'number')}",
        question=question,
        answer=answer,
        images=images_of(row, "ImagePath"),
        options=options,
        kind="choice" if options else None,
        family=optional_text(row, "subject"),
    )


ADAPTER = Adapter(
    name="scemqa",
    title="SceMQA",
    reference="https://github.com/SceMQA/SceMQA",
    status="from documentation",
    read=read_row,
    records=records,
)
