"""Probe results on disk: one line a group of rollouts, appended, never changed.

    DIR/probe/probe.json        which model, prompt and sampling the rows come from
    DIR/probe/rollouts.jsonl    {"stage": "reasoned", "id": "puzzles-counting-7", "round": 0,
                                 "completions": [{"text": "…", "answer": "3", "correct": true,
                                                  "num_tokens": 17, "truncated": false}, …],
                                 "asked": "5f0c…"}
    DIR/probe/difficulty.jsonl  what they say of each sample, written anew when a probe ends
    DIR/probe/lock              held by the probe that is running

A row is whole or it is not there: it is written with one call, and a line that a kill cut off is
removed when the store is opened again. A row's key (stage, id, round) counts once. A question that
a server refuses has a row too, without completions: it is not asked again in the same words.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.errors import DataError, RunError
from observe_r1.records import (
    append_rows,
    read_json,
    read_rows,
    to_line,
    write_json,
)  # fmt: skip
from observe_r1.types import Sample

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
    refused: str = ""
    """A server's words where it would not answer, or not at every place: completions are missing,
    and no more are drawn."""
    asked: str = ""
    """Hash of what was asked; empty in the rows of earlier versions."""


def question_hash(sample: Sample) -> str:
    """Of everything that decides what is asked and how it is graded."""
    parts = {"q": sample.question, "a": sample.answer, "k": sample.kind, "o": sample.options}
    digest = hashlib.sha256(to_line(parts).encode())
    for image in sample.images:
        digest.update(hashlib.sha256(image).digest())
    return digest.hexdigest()[:16]


def refuse_changed(samples: Iterable[Sample], asked: Mapping[str, str]) -> None:
    """Rows are about a question as it was asked; another one may have its id by now. Questions
    without rows may be any."""
    if not asked:
        return
    changed = [s.id for s in samples if s.id in asked and asked[s.id] != question_hash(s)]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(asked)} probed questions, for example '{changed[0]}', have "
            "another text, picture or answer than when they were probed, so what is stored is not "
            "about them. Rows without ids are numbered: a source in another order has other "
            "questions under the same numbers. Bring the questions back as they were, import them "
            "into another folder, or move the probe's folder away and probe anew. Golds alone are "
            "corrected by 'data review', which keeps the probe."
        )


class ProbeRows(Protocol):
    """Where a probe looks up what it has and puts what it gets."""

    @property
    def asked(self) -> Mapping[str, str]:
        """Hash of each question that has rollouts, by id; without those of earlier versions."""
        ...

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        """Rollouts of a sample that are stored."""
        ...

    def next_round(self, stage: Stage, sample_id: str) -> int: ...

    def refusal(self, stage: Stage, sample_id: str) -> ProbeRow | None:
        """A sample's last row of a stage where that is a server's refusal."""
        ...

    def append(self, rows: Sequence[ProbeRow]) -> None: ...

    def rows(self) -> Iterator[ProbeRow]:
        """Every stored row once."""
        ...


class RowCounts:
    """How many rollouts and rounds each sample has, by stage, and what is refused."""

    def __init__(self, rows: Iterable[ProbeRow] = ()) -> None:
        self._num_rollouts: dict[tuple[Stage, str], list[int]] = {}
        self._refused: dict[tuple[Stage, str], ProbeRow] = {}
        self.asked: dict[str, str] = {}
        self.has_answers = False
        for row in rows:
            self.note(row)
        if not self.has_answers:  # refused for a mistake of ours, which may be put right by now
            self._refused.clear()

    def note(self, row: ProbeRow) -> None:
        key = (row.stage, row.sample_id)
        self._num_rollouts.setdefault(key, []).append(len(row.completions))
        self._refused.pop(key, None)
        if row.refused:
            self._refused[key] = row
        if row.completions:
            self.has_answers = True
            if row.asked:
                self.asked[row.sample_id] = row.asked

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        return sum(self._num_rollouts.get((stage, sample_id), ()))

    def next_round(self, stage: Stage, sample_id: str) -> int:
        return len(self._num_rollouts.get((stage, sample_id), ()))

    def refusal(self, stage: Stage, sample_id: str) -> ProbeRow | None:
        return self._refused.get((stage, sample_id))


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
            self._counts = RowCounts(read_probe(folder))
        except BaseException:  # Ctrl-C too: the lock must not outlive a store that is not open
            self.close()
            raise

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        return self._counts.num_rollouts(stage, sample_id)

    def next_round(self, stage: Stage, sample_id: str) -> int:
        return self._counts.next_round(stage, sample_id)

    def refusal(self, stage: Stage, sample_id: str) -> ProbeRow | None:
        return self._counts.refusal(stage, sample_id)

    @property
    def asked(self) -> Mapping[str, str]:
        return self._counts.asked

    @property
    def has_answers(self) -> bool:
        """Whether any question has been answered, now or in an earlier run."""
        return self._counts.has_answers

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
            yield ProbeRow(
                stage=key[0], sample_id=key[1], round=key[2], completions=completions,
                refused=row.get("refused", ""), asked=row.get("asked", ""),
            )  # fmt: skip


def to_json(row: ProbeRow) -> dict[str, Any]:
    """A row as a line of ``rollouts.jsonl``."""
    completions = [asdict(completion) for completion in row.completions]
    known = {"refused": row.refused, "asked": row.asked}
    return {
        "stage": row.stage, "id": row.sample_id, "round": row.round, "completions": completions,
        **{name: text for name, text in known.items() if text},
    }  # fmt: skip


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
