"""Where each group lies in ``rollouts.jsonl``, and its numbers: two million rows open in a moment.

    rollouts.jsonl   row row row row │ row row row row │ …
                     └── group 0 ──┘   └── group 1 ──┘
    rollouts.index   {header}\\n [offset length step … crc] [offset length step … crc] …

The index grows with the file. It holds the checksum of the last bytes it covers: after a resume,
which takes rows away, or any other change, the checksum differs and the index is built anew.
"""

import json
import struct
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.records import write_atomic
from observe_r1.report import rows

NAME = "rollouts.index"
VERSION = 1
CHECKED_BYTES = 4096
"""How much of the end of the covered bytes the checksum reads."""

RECORD = struct.Struct("<QQiiiHHHBBfff")
GROUP = np.dtype(
    [
        ("offset", "<u8"),
        ("length", "<u8"),
        ("step", "<i4"),
        ("group", "<i4"),
        ("sample", "<i4"),  # place in ``sample_ids``
        ("size", "<u2"),
        ("correct", "<u2"),
        ("truncated", "<u2"),
        ("admitted", "u1"),
        ("bonus", "u1"),
        ("reward", "<f4"),  # sums while a group grows, means in ``Index.groups``
        ("tokens", "<f4"),
        ("weight", "<f4"),
    ]
)
assert RECORD.size == GROUP.itemsize

Progress = Callable[[int, int], None]
"""Called now and then with the bytes read and the bytes there are."""


@dataclass(frozen=True)
class Index:
    """What is known of each group without reading its texts; groups are in file order."""

    groups: np.ndarray
    sample_ids: list[str]
    further: dict[int, list[int]]
    """Pieces of groups whose rows do not lie together: first piece → all, as rows of ``pieces``."""
    pieces: np.ndarray
    covered: int
    broken: int
    """Lines that are no rows."""

    @property
    def num_groups(self) -> int:
        return len(self.groups)

    @property
    def num_rollouts(self) -> int:
        return int(self.groups["size"].sum())

    @property
    def solve_rates(self) -> np.ndarray:
        return self.groups["correct"] / np.maximum(self.groups["size"], 1)

    def spans(self, place: int) -> list[tuple[int, int]]:
        """Offset and length of every piece of the group at ``place``."""
        parts = self.further.get(place)
        if parts is None:
            return [(int(self.groups["offset"][place]), int(self.groups["length"][place]))]
        return [(int(self.pieces["offset"][p]), int(self.pieces["length"][p])) for p in parts]


class IndexBuilder:
    """Reads rollouts once and goes on where it stopped: at the end of a run, or while one grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reset()

    def _reset(self) -> None:
        self.covered = 0
        self.broken = 0
        self._records = bytearray()
        self._ids: dict[str, int] = {}
        self._open: list[Any] | None = None
        self._key: tuple[int, int, int] | None = None

    def update(
        self, progress: Progress | None = None, stop: Callable[[], bool] | None = None
    ) -> bool:
        """Read what is new; True where anything changed. A file that was rewritten is read anew."""
        if not self.path.exists():
            return False
        size = self.path.stat().st_size
        changed = size < self.covered or not self._matches()
        if changed:
            self._reset()
        start = self.covered
        lines = rows.Lines(self.path, start)
        for number, (offset, length, row) in enumerate(lines):
            self._add(offset, length, row)
            if number % 4096 == 0:
                self.covered = offset + length
                if progress:
                    progress(self.covered, size)
                if stop and stop():
                    break
        self.covered, self.broken = max(self.covered, lines.end), self.broken + lines.broken
        self._mark = _checksum(self.path, self.covered)
        return changed or self.covered > start

    def _matches(self) -> bool:
        return self.covered == 0 or _checksum(self.path, self.covered) == self._mark

    def _add(self, offset: int, length: int, row: dict[str, Any]) -> None:
        sample = self._ids.setdefault(rows.text(row.get("sample_id")), len(self._ids))
        key = (rows.whole(row.get("step")), rows.whole(row.get("group")), sample)
        if key != self._key or self._open is None:
            self._close()
            self._key = key
            weight = rows.number(row.get("weight"))
            admitted = row.get("admitted") is not False
            self._open = [offset, 0, *key, 0, 0, 0, admitted, 0, 0.0, 0.0, _single(weight)]
        record = self._open
        if record[5] == 65535:
            return
        record[1] = offset + length - record[0]
        record[5] += 1
        record[6] += row.get("correct") is True
        record[7] += row.get("truncated") is True
        record[9] |= (rows.number(row.get("bonus")) or 0.0) > 0
        record[10] += _single(rows.number(row.get("reward")))
        record[11] += max(rows.whole(row.get("num_tokens"), 0), 0)

    def _close(self) -> None:
        if self._open is not None:
            self._records += _pack(self._open)
            self._open = None

    def snapshot(self) -> Index:
        """The index of what has been read so far, the group still being written included."""
        records = bytes(self._records) + (_pack(self._open) if self._open is not None else b"")
        pieces = np.frombuffer(records, dtype=GROUP)
        groups, further = _join(pieces)
        size = np.maximum(groups["size"], 1)
        groups["reward"] /= size
        groups["tokens"] /= size
        return Index(groups, list(self._ids), further, pieces, self.covered, self.broken)

    def save(self) -> bool:
        """Write the index beside the rollouts; False where the folder cannot be written to."""
        header = {
            "version": VERSION,
            "covered": self.covered,
            "broken": self.broken,
            "mark": _checksum(self.path, self.covered),
            "sample_ids": list(self._ids),
            "open": self._open is not None,
        }
        tail = _pack(self._open) if self._open is not None else b""
        content = json.dumps(header).encode() + b"\n" + bytes(self._records) + tail
        try:
            write_atomic(self.path.with_name(NAME), content)
        except OSError:  # a run on a read-only disk is read without an index on disk
            return False
        return True

    def load(self) -> bool:
        """Take over the index on disk; False where there is none that fits the rollouts."""
        try:
            header, records = _read(self.path.with_name(NAME))
            known = header["version"] == VERSION and len(records) % GROUP.itemsize == 0
            if not known or _checksum(self.path, header["covered"]) != header["mark"]:
                return False
            ids = [str(name) for name in header["sample_ids"]]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._reset()
        self.covered, self.broken, self._mark = header["covered"], header["broken"], header["mark"]
        self._ids = {name: place for place, name in enumerate(ids)}
        self._records = bytearray(records)
        if header["open"] and records:
            self._open = list(RECORD.unpack(bytes(self._records[-RECORD.size :])))
            self._key = (self._open[2], self._open[3], self._open[4])
            del self._records[-RECORD.size :]
        return True


def open_index(path: Path, progress: Progress | None = None) -> Index:
    """The index of a rollouts file: read, brought up to date, and kept for the next time."""
    builder = IndexBuilder(path)
    known = builder.load()
    if builder.update(progress) or not known:
        builder.save()
    return builder.snapshot()


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    header, _, records = path.read_bytes().partition(b"\n")
    return rows.parse_line(header) or {}, records


def _pack(record: list[Any]) -> bytes:
    return RECORD.pack(*record)


def _single(value: float | None) -> float:
    """A value that single precision can hold; what cannot is no number anyone can use."""
    if value is None or abs(value) > 1e30:
        return 0.0
    return array("f", [value])[0]


def _checksum(path: Path, covered: int) -> int:
    """Of the last bytes that are covered; a file that is too short has none that fits."""
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        file.seek(max(covered - CHECKED_BYTES, 0))
        content = file.read(min(covered, CHECKED_BYTES))
    return zlib.crc32(content, len(content) & 0xFFFF)


def _join(pieces: np.ndarray) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Pieces of the same step and group are one group; nearly always each piece is one already."""
    keys = (pieces["step"].astype(np.int64) << 32) | (pieces["group"].astype(np.int64) & 0xFFFFFFFF)
    if np.all(keys[1:] > keys[:-1]):
        return pieces.copy(), {}
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(pieces):
        return pieces.copy(), {}
    order = np.sort(first)
    place_of = {int(piece): place for place, piece in enumerate(order)}
    members: dict[int, list[int]] = {}
    for piece, key in enumerate(np.ravel(inverse)):
        members.setdefault(place_of[int(first[key])], []).append(piece)
    groups = pieces[order].copy()
    for place, parts in members.items():
        for name in ("size", "correct", "truncated", "reward", "tokens"):
            groups[name][place] = pieces[name][parts].sum()
        groups["bonus"][place] = pieces["bonus"][parts].max()
    return groups, {place: parts for place, parts in members.items() if len(parts) > 1}
