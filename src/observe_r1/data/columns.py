"""The columns of a data folder: ``Sample`` ↔ one row of parquet.

One row, as ``datasets.load_dataset(folder)`` shows it:

    {"id": "puzzles-counting-7", "question": "How many red squares?", "images": [<PIL image>],
     "prompt": [{"role": "user", "content": [{"type": "image", "text": None},
                                             {"type": "text", "text": "How many red squares?"}]}],
     "answer": "3", "kind": "number", "options": [], "source": "puzzles", "family": "counting",
     "solve_rate": 0.625, "complexity": 41.5, "level": 3, "rung": 2, "position": 117,
     "metadata": "{\"puzzle_level\": 2}"}

Unknown is null. The prompt holds the user turn only: the system turn belongs to the recipe. An
image is stored under the hash of its bytes, so equal pictures have equal names wherever they occur.
Metadata is JSON text: what it holds differs from row to row, which a column's type must not.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from observe_r1.errors import DataError
from observe_r1.text import format_question
from observe_r1.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa

PLAIN_COLUMNS = (
    "id", "question", "answer", "kind", "source", "family",
    "solve_rate", "complexity", "level", "rung", "position",
)  # fmt: skip
"""Columns with one value a row: all that ladders and curricula need."""

COLUMNS = (
    "id", "question", "images", "prompt", "answer", "kind", "options", "source", "family",
    "solve_rate", "complexity", "level", "rung", "position", "metadata",
)  # fmt: skip

IMAGE_MARKER = "<image>"

_DTYPES = {"solve_rate": "float64", "complexity": "float64",
           "level": "int32", "rung": "int32", "position": "int64"}  # fmt: skip
_SUFFIXES = {b"\x89PN": "png", b"\xff\xd8\xff": "jpg", b"RIF": "webp"}


def arrow_schema() -> "pa.Schema":
    """The parquet schema; its metadata tells ``datasets`` which column holds pictures."""
    import pyarrow as pa

    text = pa.string()
    types: dict[str, pa.DataType] = {
        "images": pa.list_(pa.struct([("bytes", pa.binary()), ("path", text)])),
        "prompt": pa.list_(
            pa.struct(
                [
                    ("role", text),
                    ("content", pa.list_(pa.struct([("type", text), ("text", text)]))),
                ]
            )
        ),
        "options": pa.list_(text),
        "solve_rate": pa.float64(),
        "complexity": pa.float64(),
        "level": pa.int32(),
        "rung": pa.int32(),
        "position": pa.int64(),
    }
    fields = [pa.field(name, types.get(name, text)) for name in COLUMNS]
    info = json.dumps({"info": {"features": _features()}})
    return pa.schema(fields, metadata={b"huggingface": info.encode()})


def _features() -> dict[str, Any]:
    """The same schema in the words of ``datasets``."""
    text = {"dtype": "string", "_type": "Value"}
    part = {"type": text, "text": text}
    message = {"role": text, "content": {"feature": part, "_type": "List"}}
    nested = {
        "images": {"feature": {"_type": "Image"}, "_type": "List"},
        "prompt": {"feature": message, "_type": "List"},
        "options": {"feature": text, "_type": "List"},
    }
    return {
        name: nested.get(name, {"dtype": _DTYPES.get(name, "string"), "_type": "Value"})
        for name in COLUMNS
    }


def image_name(image: bytes) -> str:
    """Name of an encoded picture: the hash of its bytes, and the ending of its format."""
    suffix = _SUFFIXES.get(image[:3], "bin")
    return f"{hashlib.sha256(image).hexdigest()[:24]}.{suffix}"


def prompt_messages(sample: Sample) -> list[dict[str, Any]]:
    """The user turn: pictures where the markers stand, in front where there are none."""
    question = format_question(sample)
    if IMAGE_MARKER not in question:
        question = IMAGE_MARKER * len(sample.images) + question
    content: list[dict[str, str | None]] = []
    for number, text in enumerate(question.split(IMAGE_MARKER)):
        if number:
            content.append({"type": "image", "text": None})
        if text.strip():
            content.append({"type": "text", "text": text})
    return [{"role": "user", "content": content}]


def to_row(sample: Sample) -> dict[str, Any]:
    row = {name: getattr(sample, name) for name in PLAIN_COLUMNS}
    row["options"] = list(sample.options)
    row["prompt"] = prompt_messages(sample)
    row["images"] = [{"bytes": image, "path": image_name(image)} for image in sample.images]
    row["metadata"] = metadata_text(sample)
    return row


def from_row(row: Mapping[str, Any]) -> Sample:
    """The sample of a row; columns that are absent or null keep the record's own defaults."""
    values = {name: row[name] for name in PLAIN_COLUMNS if row.get(name) is not None}
    images = tuple(image["bytes"] for image in row.get("images") or ())
    metadata = read_metadata(row.get("metadata"))
    options = tuple(row.get("options") or ())
    return Sample(**values, images=images, options=options, metadata=metadata)


def metadata_text(sample: Sample) -> str | None:
    """A sample's metadata as it is stored; nothing for none."""
    if not sample.metadata:
        return None
    try:
        return json.dumps(dict(sample.metadata), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the metadata of sample '{sample.id}' cannot be stored ({error}). Keep texts, finite "
            "numbers, and lists and mappings of them."
        ) from None


def read_metadata(text: str | None) -> dict[str, Any]:
    """What ``metadata_text`` has written."""
    return json.loads(text) if text else {}
