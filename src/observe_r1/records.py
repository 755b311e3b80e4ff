"""Lines of JSON on disk: appended while a run goes on, read while it is still being written.

A run folder is the interface between training and everything that looks at it. Rows are appended
whole, one a line; a reader skips a last line that is still being written.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from observe_r1.errors import RunError


def to_line(row: Mapping[str, Any]) -> str:
    """One row as one line. Lone surrogates, which a tokenizer can produce, are escaped by JSON."""
    return json.dumps(row, ensure_ascii=True, separators=(",", ":"), allow_nan=True) + "\n"


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows with one write, so that a kill can cut only the last line."""
    text = "".join(to_line(row) for row in rows)
    if text:
        with open(path, "a", encoding="ascii") as file:
            file.write(text)


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
    except BaseException:
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
