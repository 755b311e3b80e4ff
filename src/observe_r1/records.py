"""Lines of JSON on disk: appended while a run goes on, read while it is still being written.

A run folder is the interface between training and everything that looks at it. Rows are appended
whole, one a line; a reader skips a last line that is still being written, and the next append
takes off one that a kill or a full disk cut short.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from observe_r1.errors import RunError
from observe_r1.types import Sample

IMAGES = "images"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def to_line(row: Mapping[str, Any]) -> str:
    """One row as one line. Lone surrogates, which a tokenizer can produce, are escaped by JSON."""
    return json.dumps(row, ensure_ascii=True, separators=(",", ":"), allow_nan=True) + "\n"


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows with one write, so that a kill can cut only the last line. A file has one writer
    at a time, so a last line without its end is what an earlier one left behind."""
    text = "".join(to_line(row) for row in rows)
    if text:
        cut_torn_line(path)
        with open(path, "a", encoding="ascii") as file:
            file.write(text)


def cut_torn_line(path: Path) -> None:
    """Remove what stands behind the last whole line. A row written onto it would be part of it,
    and the line as a whole no JSON."""
    if not path.exists():
        return
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        size = 1  # nearly every file ends with a whole line, which its last byte shows
        while end > 0:
            start = max(0, end - size)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            end, size = start, 65536
        file.truncate(0)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every complete row. A torn last line is not an error; a broken line inside the file is."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RunError(
                    f"{path}, line {number}: not JSON ({error}). The file was changed by hand or "
                    "damaged; delete that line to go on."
                ) from None


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write under a temporary name, then rename: a reader sees the old file or the new one."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too: no half-written file stays behind
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=True) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path} does not exist.") from None
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}.") from None


def sample_row(sample: Sample, folder: Path) -> dict[str, Any]:
    """A row of a run folder's ``samples.jsonl``; the pictures are written under ``images/``."""
    return {
        "sample_id": sample.id,
        "question": sample.question,
        "answer": sample.answer,
        "kind": sample.kind,
        "options": list(sample.options),
        "images": [_keep_image(folder, data) for data in sample.images],
        "family": sample.family,
        "level": sample.level,
        "rung": sample.rung,
    }


def _keep_image(folder: Path, data: bytes) -> str:
    """Named by content, so that a picture which questions share is there once."""
    name = image_place(data)
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return name


def image_place(data: bytes) -> str:
    """Where a run folder keeps a picture, by the hash of its bytes.

    Example:
        image_place(b"\\x89PNG…") == "images/5f16f4c7f149ac4f9510.png"
    """
    suffix = next((s for start, s in _SUFFIXES.items() if data.startswith(start)), ".img")
    return f"{IMAGES}/{hashlib.sha256(data).hexdigest()[:20]}{suffix}"
