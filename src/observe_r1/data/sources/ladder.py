"""Our own data folders: what import, probe and ladder write.

{"id": "puzzles-counting-7", "question": "How many red squares?", "images": [{"bytes": …}],
 "answer": "3", "kind": "number", "options": [], "source": "puzzles", "family": "counting",
 "solve_rate": 0.625, "complexity": 41.5, "level": 3, "rung": 2, "position": 117, "prompt": …}
"""

from collections.abc import Mapping
from typing import Any

from observe_r1.data.columns import read_metadata
from observe_r1.data.sources.base import (
    Adapter,
    RawQuestion,
    answer_of,
    images_of,
    optional_text,
    text_of,
)
from observe_r1.grading import KINDS


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    kind = optional_text(row, "kind")
    measured = ("solve_rate", "complexity", "level", "rung", "position")
    return RawQuestion(
        id=text_of(row, "id"),
        question=text_of(row, "question"),
        answer=answer_of(row, "answer"),
        images=images_of(row, "images"),
        options=tuple(map(str, row.get("options") or ())),
        kind=next((known for known in KINDS if known == kind), None),
        source=optional_text(row, "source"),
        family=optional_text(row, "family"),
        measured={name: row[name] for name in measured if row.get(name) is not None},
        metadata=read_metadata(row.get("metadata")),
    )


ADAPTER = Adapter(
    name="ladder",
    title="our own data folders",
    reference="docs/design.md",
    status="checked on real files",
    read=read_row,
)
