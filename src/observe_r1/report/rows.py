"""Rows of a run folder as they really are: torn, damaged, hostile, or fine.

``records.read_rows`` is for folders that must be right. A viewer shows what can be shown, so here a
line that cannot be read is counted and skipped, and a value of the wrong type is None.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def parse_line(line: bytes) -> dict[str, Any] | None:
    """One line as a row; None where it is not a JSON object, whatever its bytes."""
    try:
        row = json.loads(line)
    except UnicodeDecodeError:
        return parse_line(line.decode("utf-8", errors="replace").encode())
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


@dataclass
class Lines:
    """The complete lines of a file from a place on, with what went wrong on the way."""

    path: Path
    start: int = 0
    end: int = field(init=False, default=0)
    """Just past the last complete line read."""
    broken: int = field(init=False, default=0)
    torn: bool = field(init=False, default=False)
    """The last line has no end: it is being written, or the writer was killed."""

    def __iter__(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Offset, length and content of each row."""
        offset = self.end = self.start
        with open(self.path, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn = True
                    return
                row = parse_line(line)
                if row is None:
                    self.broken += line.strip() != b""
                else:
                    yield offset, len(line), row
                offset += len(line)
                self.end = offset


def number(value: Any) -> float | None:
    """A finite number, else None: NaN, infinities, texts and what no float holds are no value."""
    if not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def whole(value: Any, default: int = -1) -> int:
    """A whole number that fits the index, else ``default``."""
    result = number(value)
    return int(result) if result is not None and abs(result) < 2**31 else default


def text(value: Any) -> str:
    """A text as UTF-8 can hold it: lone surrogates, which tokenizers produce, become U+FFFD."""
    if value is None:
        return ""
    result = value if isinstance(value, str) else json.dumps(value, default=str)
    return result.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def texts(value: Any) -> list[str]:
    return [text(item) for item in value] if isinstance(value, list) else []


def shorten(value: str, limit: int) -> tuple[str, int]:
    """The start of a text, and how many characters were left out."""
    return value[:limit], max(len(value) - limit, 0)


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Enough digits to draw and to read; pages with thousands of points stay small."""
    return None if value is None else float(f"{value:.{digits}g}")
