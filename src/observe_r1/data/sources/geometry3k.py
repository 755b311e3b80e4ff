"""Geometry3K: the authors' files (lupantech/InterGPS) and hiyouga/geometry3k.

{"id": 2401, "problem_text": "Find x.", "choices": ["5", "12", "13", "26"], "answer": "C",
 "problem_type_graph": ["Triangle"], …}                  one data.json a folder, beside its picture
{"images": [<image>], "problem": "<image>Find x.", "answer": "3"}
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
    graphs = row.get("problem_type_graph")
    family = str(graphs[0]) if isinstance(graphs, list) and graphs else None
    beside = ("img_diagram.png",) if "problem_text" in row else ()
    return RawQuestion(
        id=optional_text(row, "id"),
        question=text_of(row, "problem_text", "problem", "question"),
        answer=answer_of(row, "answer"),
        images=images_of(row, "images", "image") or beside,
        options=choices,
        kind="choice" if choices else None,
        family=family,
    )


ADAPTER = Adapter(
    name="geometry3k",
    title="Geometry3K",
    reference="https://github.com/lupantech/InterGPS",
    status="from documentation",
    read=read_row,
)
