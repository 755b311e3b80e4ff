"""One group in full, as the pages show it: question, pictures, completions with every number."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.report import rows
from observe_r1.report.index import Index

MAX_GROUP_BYTES = 64 * 2**20
"""A group beyond this is not read at once; its first rows are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A row of ``samples.jsonl``; what is missing is empty.

    Example:
        Question(id="shapes-7", text="How many red squares?", answer="3", kind="number",
                 images=("images/shapes-7.png",), family="counting", level=2, rung=1)
    """

    id: str
    text: str = ""
    answer: str = ""
    kind: str = ""
    options: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    """Paths as the run folder has them: untrusted."""
    family: str = ""
    level: int | None = None
    rung: int | None = None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Question":
        return cls(
            id=rows.text(row.get("sample_id")),
            text=rows.text(row.get("question")),
            answer=rows.text(row.get("answer")),
            kind=rows.text(row.get("kind")),
            options=tuple(rows.texts(row.get("options"))),
            images=tuple(rows.texts(row.get("images"))),
            family=rows.text(row.get("family")),
            level=_slot(row.get("level")),
            rung=_slot(row.get("rung")),
        )


def _slot(value: Any) -> int | None:
    place = rows.whole(value, -(2**31))
    return place if place > -(2**31) else None


def read_group(path: Path, index: Index, place: int, max_text: int) -> dict[str, Any]:
    """The group at ``place`` of the index as JSON values, completions in their own order."""
    completions = []
    for row in read_rows(path, index, place):
        completions.append(_completion(row, max_text))
    completions.sort(key=lambda completion: completion["index"])
    return {**summary(index, place), "completions": completions}


def read_rows(path: Path, index: Index, place: int) -> list[dict[str, Any]]:
    """The rows of a group; lines between its pieces are never read."""
    record = index.groups[place]
    wanted = (int(record["step"]), int(record["group"]))
    found = []
    with open(path, "rb") as file:
        for offset, length in index.spans(place):
            file.seek(offset)
            for line in file.read(min(length, MAX_GROUP_BYTES)).splitlines():
                row = rows.parse_line(line)
                if row is not None and _key(row) == wanted:
                    found.append(row)
    return found


def _key(row: dict[str, Any]) -> tuple[int, int]:
    return rows.whole(row.get("step")), rows.whole(row.get("group"))


def summary(index: Index, place: int) -> dict[str, Any]:
    """What the list of groups shows."""
    record = index.groups[place]
    return {
        "id": place,
        "step": int(record["step"]),
        "group": int(record["group"]),
        "sample": index.sample_ids[int(record["sample"])],
        "size": int(record["size"]),
        "correct": int(record["correct"]),
        "truncated": int(record["truncated"]),
        "admitted": bool(record["admitted"]),
        "bonus": bool(record["bonus"]),
        "reward": rows.rounded(float(record["reward"]), 4),
        "tokens": rows.rounded(float(record["tokens"]), 4),
        "weight": rows.rounded(float(record["weight"]), 4),
    }


def _completion(row: dict[str, Any], max_text: int) -> dict[str, Any]:
    shown, left_out = rows.shorten(rows.text(row.get("text")), max_text)
    parts = rows.mapping(row.get("rewards"))
    completion = {
        "index": rows.whole(row.get("index"), 0),
        "text": shown,
        "tokens": rows.whole(row.get("num_tokens"), 0),
        "correct": row.get("correct") is True,
        "truncated": row.get("truncated") is True,
        "rewards": {rows.text(n): rows.rounded(rows.number(v), 4) for n, v in parts.items()},
        "reward": rows.rounded(rows.number(row.get("reward")), 4),
        "bonus": rows.rounded(rows.number(row.get("bonus")), 4),
        "advantage": rows.rounded(rows.number(row.get("advantage")), 4),
    }
    return completion | ({"left_out": left_out} if left_out else {})
