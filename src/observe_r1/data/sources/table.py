"""Any JSON, JSONL, CSV or Parquet table, and any ``datasets`` folder or hub id.

    {"pid": 1, "problem": "Find x.", "choices": "['3', '4']", "label": "B", "img": "a.png"}

    --column question=problem --column answer=label --column images=img --column options=choices

Columns that are not mapped are looked for under the usual names; how answers are checked (``kind``)
is read off them unless a column is mapped to it.
"""

import ast
from collections.abc import Mapping
from typing import Any, cast

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
from observe_r1.errors import ConfigError
from observe_r1.grading import KINDS
from observe_r1.types import Kind

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "pid", "question_id", "idx", "index"),
    "question": ("question", "problem", "query", "prompt", "instruction", "text"),
    "answer": ("answer", "solution", "label", "gold", "target", "ground_truth"),
    "images": ("images", "image", "image_path", "img", "file_name", "decoded_image"),
    "options": ("options", "choices"),
    "family": ("family", "subject", "category", "task"),
    "kind": (),
}


def table_adapter(columns: Mapping[str, str]) -> Adapter:
    """The adapter of a table whose columns have these names.

    Example:
        table_adapter({"question": "problem", "answer": "label"})
    """
    unknown = set(columns) - set(USUAL_NAMES)
    if unknown:
        raise ConfigError(
            f"--column maps {', '.join(sorted(unknown))}, but a sample has only "
            f"{', '.join(USUAL_NAMES)}. Write --column question=NAME_IN_THE_FILE."
        )
    names = {field: (columns[field],) if field in columns else usual
             for field, usual in USUAL_NAMES.items()}  # fmt: skip

    def read_row(row: Mapping[str, Any]) -> RawQuestion:
        question = text_of(row, *names["question"])
        options = _options(next((row[n] for n in names["options"] if row.get(n)), None))
        if not options:
            question, options = split_options(question)
        return RawQuestion(
            id=optional_text(row, *names["id"]),
            question=question,
            answer=answer_of(row, *names["answer"]),
            images=_listed_images(images_of(row, *names["images"])),
            options=options,
            kind="choice" if options else _kind(optional_text(row, *names["kind"])),
            family=optional_text(row, *names["family"]),
        )

    return Adapter(
        name="table",
        title="a table with a column mapping",
        reference="docs/data.md",
        status="checked on real files",
        read=read_row,
    )


def _kind(name: str | None) -> Kind | None:
    if name is None:
        return None
    if name not in KINDS:
        raise BadRow("answer cannot be checked", f"kind '{name}' is none of {', '.join(KINDS)}")
    return cast(Kind, name)


def _options(value: Any) -> tuple[str, ...]:
    """A list, a mapping from letters, or the text of either."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise BadRow("options cannot be read", str(value)[:120]) from None
    if isinstance(value, dict):
        value = [value[letter] for letter in sorted(value) if value[letter] is not None]
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _listed_images(images: tuple[Any, ...]) -> tuple[Any, ...]:
    """A CSV cell may hold several paths: ``["a.png", "b.png"]`` or ``a.png;b.png``."""
    if len(images) != 1 or not isinstance(images[0], str) or len(images[0]) > 1000:
        return images
    text = images[0].strip()
    if text.startswith("data:"):
        return images
    if text.startswith("["):
        try:
            return tuple(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise BadRow("image missing", text[:120]) from None
    return tuple(part.strip() for part in text.split(";") if part.strip())


ADAPTER = table_adapter({})
