"""What a teacher's server has replied that no row of the store holds yet: paid for, and kept."""

import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.probe.store import ProbeStore, Stage
from observe_r1.records import append_rows, read_rows, to_line, write_atomic

REPLIES = "replies.jsonl"


class WaitingReplies:
    """Replies whose round is not whole yet, each on disk as it comes.

    DIR/drawn/replies.jsonl    {"stage": "reasoned", "id": "puzzles-counting-7", "round": 0,
                                "place": 3, "completion": {"text": "…", "answer": "3", …}}
    """

    def __init__(self, store: ProbeStore) -> None:
        self._store = store
        self._path = store.folder / REPLIES
        self._writing = threading.Lock()
        self._found: dict[tuple[Stage, str, int], dict[int, ProbedCompletion]] = {}
        rows = list(self._rows())
        for row in rows:
            key = (row["stage"], row["id"], row["round"])
            completion = ProbedCompletion(**row["completion"])
            self._found.setdefault(key, {})[row["place"]] = completion
        if self._path.exists():  # without what is whole by now and the line that a kill cut off
            write_atomic(self._path, "".join(to_line(row) for row in rows))

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Rounds count from 0, so those below the next one are rows of the store."""
        for row in read_rows(self._path) if self._path.exists() else ():
            if row["round"] >= self._store.next_round(row["stage"], row["id"]):
                yield row

    def __len__(self) -> int:
        return sum(1 for _ in self._rows())

    def take(self, stage: Stage, sample_id: str, number: int) -> dict[int, ProbedCompletion]:
        """What an earlier run got of a round, by place."""
        return self._found.pop((stage, sample_id, number), {})

    def add(
        self, stage: Stage, sample_id: str, number: int, place: int, completion: ProbedCompletion
    ) -> None:
        row = {"stage": stage, "id": sample_id, "round": number, "place": place,
               "completion": asdict(completion)}  # fmt: skip
        with self._writing:
            append_rows(self._path, [row])

    def remove(self) -> None:
        """Every round is whole."""
        self._path.unlink(missing_ok=True)
