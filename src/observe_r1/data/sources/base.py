"""What an adapter is: one row of somebody's data set → one raw question.

    files ──rows──▶ adapter ──RawQuestion──▶ importing: images decoded, gold checked ──▶ Sample
                       │
                       └─ BadRow(reason): listed in rejected.jsonl, the rest goes on

An adapter only moves fields to their places; everything that is checked is checked once, for all
of them, in ``data/importing.py``.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from observe_r1.errors import DataError
from observe_r1.types import Kind

Status = Literal["checked on real files", "from documentation"]


class BadRow(DataError):
    """A row that cannot become a sample. ``reason`` is what it is counted under."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class RawQuestion:
    """A question as its source has it, nothing checked yet.

    Example:
        RawQuestion(question="How many?\\n<image>", answer="6", images=("images/4.jpg",), id="4")
    """

    question: str
    answer: str
    images: tuple[Any, ...] = ()
    """Paths, bytes, base64 text, ``{"bytes", "path"}`` or PIL pictures, in order of appearance."""
    options: tuple[str, ...] = ()
    kind: Kind | None = None
    """None: read off the answer."""
    id: str | None = None
    family: str | None = None
    source: str | None = None
    """None: the adapter's name."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """solve_rate, complexity, level, rung and position of rows that have been probed before."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the source says beside the question; JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One source format.

    Example:
        Adapter(name="mathvision", title="MATH-Vision", reference="https://…", read=read_row,
                status="checked on real files")
    """

    name: str
    title: str
    reference: str
    """Public page that describes the format."""
    status: Status
    read: Callable[[Mapping[str, Any]], RawQuestion]
    records: Callable[[Any], Any] | None = None
    """For JSON files that are no plain list: the list of rows in the file's content."""


def read_raw(adapter: Adapter, row: Mapping[str, Any]) -> RawQuestion:
    """What the adapter makes of a row. Rows are somebody else's data: a list where a text belongs
    breaks an adapter in its own way, and costs that row, not the import."""
    try:
        return adapter.read(row)
    except BadRow:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        detail = f"not as {adapter.title} has it ({type(error).__name__}: {error})"
        raise BadRow("row cannot be read", detail) from None


def answer_of(row: Mapping[str, Any], *names: str) -> str:
    """``text_of`` for the gold: a field that is there and empty is a row without an answer."""
    found = optional_text(row, *names)
    if found is not None:
        return found
    there = [name for name in names if name in row]
    if not there:
        raise BadRow("field missing", f"none of {', '.join(names)}")
    raise BadRow("no answer", f"{there[0]} is {str(row[there[0]])[:80]}")


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """The first of the named fields that holds text or a number; BadRow where none does."""
    found = optional_text(row, *names)
    if found is None:
        raise BadRow("field missing", f"none of {', '.join(names)}")
    return found


def optional_text(row: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if isinstance(value, float) and value.is_integer():
            return str(int(value))  # a column of whole numbers with gaps is read as floats
        if isinstance(value, str | int | float):
            return str(value)
    return None


def images_of(row: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """The pictures in the first of the named fields that holds any."""
    for name in names:
        value = row.get(name)
        if value is None or value == "" or value == []:
            continue
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    return ()


_LETTERED = re.compile(r"^\s*\(?([A-J])[).:]\s*(.*)$")


def lettered_options(lines: Sequence[str]) -> tuple[str, ...]:
    """Options of consecutive lines ``A. …``, ``(B) …``, ``C: …``; empty unless they run from A."""
    options: list[str] = []
    for line in lines:
        match = _LETTERED.match(line)
        if match and match[1] == chr(ord("A") + len(options)):
            options.append(match[2].strip())
        elif match or not options:
            return ()
        else:
            options[-1] = f"{options[-1]} {line.strip()}".strip()
    return tuple(options) if len(options) > 1 else ()


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """A question whose last lines are its options → question, options; else the text as it is.

    Example:
        split_options("Which one?\\nA. red\\nB. blue") == ("Which one?", ("red", "blue"))
    """
    lines = text.split("\n")
    for start, line in enumerate(lines):
        match = _LETTERED.match(line)
        if match and match[1] == "A":
            options = lettered_options(lines[start:])
            if options:
                stem = "\n".join(lines[:start])
                return re.sub(r"\n?\s*(?:Choices|Options)\s*:?\s*$", "", stem).rstrip(), options
    return text, ()


_FINAL = (
    re.compile(r"<answer>(.*?)</answer>", re.DOTALL),
    re.compile(r"^####\s*(.+)$", re.MULTILINE),
    re.compile(
        r"\b(?:final\s+)?answer\s*(?:is|:)\s*:?\s*(.+?)\s*\.?\s*$", re.IGNORECASE | re.MULTILINE
    ),
)


def final_answer(text: str) -> str:
    """The answer at the end of a worked solution; a text without any mark of one is the answer."""
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed
    for pattern in _FINAL:
        found = pattern.findall(text)
        if found:
            return str(found[-1]).strip()
    return text.strip()


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for index in range(start + len("\\boxed"), len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : index].strip()
    return None
