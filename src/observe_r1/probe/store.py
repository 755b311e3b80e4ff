"""Probe results on disk: one line a group of rollouts, appended, never changed.

    DIR/probe/probe.json        which model, prompt and sampling the rows come from
    DIR/probe/rollouts.jsonl    {"stage": "reasoned", "id": "puzzles-counting-7", "round": 0,
                                 "completions": [{"text": "…", "answer": "3", "correct": true,
                                                  "num_tokens": 17, "truncated": false}, …]}
    DIR/probe/difficulty.jsonl  what they say of each sample, written anew when a probe ends
    DIR/probe/lock              held by the probe that is running

A row is whole or it is not there: it is written with one call, and a line that a kill cut off is
removed when the store is opened again. A row's key (stage, id, round) counts once.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.errors import RunError
from observe_r1.records import append_rows, read_json, read_rows, write_json

Stage = Literal["direct", "reasoned"]
IDENTITY, ROLLOUTS = "probe.json", "rollouts.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """One group of rollouts of one sample.

    Example:
        ProbeRow(stage="reasoned", sample_id="puzzles-counting-7", round=0, completions=(…,))
    """

    stage: Stage
    sample_id: str
    round: int
    """How many groups of the sample came before it in its stage."""
    completions: tuple[ProbedCompletion, ...]


class ProbeRows(Protocol):
    """Where a probe looks up what it has and puts what it gets."""

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        """Rollouts of a sample that are stored."""
        ...

    def next_round(self, stage: Stage, sample_id: str) -> int: ...

    def append(self, rows: Sequence[ProbeRow]) -> None: ...

    def rows(self) -> Iterator[ProbeRow]:
        """Every stored row once."""
        ...


class RowCounts:
    """How many rollouts and rounds each sample has, by stage."""

    def __init__(self) -> None:
        self._num_rollouts: dict[tuple[Stage, str], list[int]] = {}

    def note(self, row: ProbeRow) -> None:
        counts = self._num_rollouts.setdefault((row.stage, row.sample_id), [])
        counts.append(len(row.completions))

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        return sum(self._num_rollouts.get((stage, sample_id), ()))

    def next_round(self, stage: Stage, sample_id: str) -> int:
        return len(self._num_rollouts.get((stage, sample_id), ()))


class ProbeStore:
    """The rows of one probe, opened for appending by one process at a time.

    Example:
        with ProbeStore(Path("data/mine/probe"), identity) as store:
            store.append([row])
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(folder)
        try:
            _check_identity(folder / IDENTITY, identity)
            self._path = folder / ROLLOUTS
            _cut_torn_line(self._path)
            self._counts = RowCounts()
            for row in read_probe(folder):
                self._counts.note(row)
        except BaseException:  # Ctrl-C too: the lock must not outlive a store that is not open
            self.close()
            raise

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        return self._counts.num_rollouts(stage, sample_id)

    def next_round(self, stage: Stage, sample_id: str) -> int:
        return self._counts.next_round(stage, sample_id)

    def rows(self) -> Iterator[ProbeRow]:
        return read_probe(self.folder)

    def append(self, rows: Sequence[ProbeRow]) -> None:
        """Put rows on disk; they survive whatever happens to the process from here on."""
        append_rows(self._path, [to_json(row) for row in rows])
        for row in rows:
            self._counts.note(row)

    def close(self) -> None:
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_probe(folder: Path) -> Iterator[ProbeRow]:
    """Every stored row once, also while a probe is still writing."""
    path = folder / ROLLOUTS
    return each_once(read_rows(path)) if path.exists() else iter(())


def each_once(rows: Iterable[Mapping[str, Any]]) -> Iterator[ProbeRow]:
    """Lines as rows; a key that has been seen is passed over."""
    seen: set[tuple[Stage, str, int]] = set()
    for row in rows:
        key = (row["stage"], row["id"], row["round"])
        if key not in seen:
            seen.add(key)
            completions = tuple(ProbedCompletion(**completion) for completion in row["completions"])
            yield ProbeRow(stage=key[0], sample_id=key[1], round=key[2], completions=completions)


def to_json(row: ProbeRow) -> dict[str, Any]:
    """A row as a line of ``rollouts.jsonl``."""
    completions = [asdict(completion) for completion in row.completions]
    return {"stage": row.stage, "id": row.sample_id, "round": row.round, "completions": completions}


def take_lock(folder: Path) -> int:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise RunError(
            f"{folder} is being written by another probe. Wait until it ends, or stop it: "
            "nothing that it has stored is lost."
        ) from None
    return handle


def _check_identity(path: Path, identity: Mapping[str, Any]) -> None:
    if not path.exists():
        write_json(path, dict(identity))
        return
    stored = read_json(path)
    what = "; ".join(_differences(stored, identity))
    if what:
        raise RunError(
            f"{path.parent} holds a probe made otherwise ({what}), and solve rates of different "
            "probes cannot be added up. Go on with the same settings; or move that folder away, "
            "and the probe begins anew."
        )


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key in {**stored, **wanted}:
        was, now = stored.get(key), wanted.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _differences(was, now)
        elif was != now:
            yield f"{key} was {was!r}, is {now!r}"


def _cut_torn_line(path: Path) -> None:
    """Remove what a kill left behind the last whole line."""
    if not path.exists():
        return
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            end = start
        file.truncate(0)
