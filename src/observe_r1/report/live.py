"""A run that may still be growing, kept open: what has changed is read, the rest is remembered."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.errors import RunError
from observe_r1.report.groups import read_group, summary
from observe_r1.report.images import find_picture, shrink
from observe_r1.report.index import Index, IndexBuilder
from observe_r1.report.payload import build_payload, question_values, to_json
from observe_r1.report.run import STAGE, RunFolder, open_run, stage_folders, state
from observe_r1.report.search import Searchable, list_groups

PICTURE_SIDE = 640
MAX_TEXT = 400_000
FILES = ("config.json", "env.json", "metrics.jsonl", "samples.jsonl", "rollouts.jsonl", "eval")
ANSWERS_FIRST = 0.001
"""Seconds after which the thread that reads lets another answer. Python's own five milliseconds,
waited for at every turn, were most of what an answer took meanwhile."""


@dataclass(frozen=True)
class _Shown:
    """A run as it is shown at one moment."""

    groups: Searchable
    payload: str
    """As JSON: encoding it takes longer than anything a request may take on a large run."""
    held_out: dict[str, Any] | None
    """What training has brought on held-out questions."""
    revision: int

    @property
    def run(self) -> RunFolder:
        return self.groups.run

    @property
    def index(self) -> Index:
        return self.groups.index


class LiveRun:
    """One run, read again when its files change. Safe to ask from several threads.

    The first index of a large run is built in a thread of its own; until it is done the groups read
    so far can be looked at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._builder = IndexBuilder(path / "rollouts.jsonl")
        self._revision = 0
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._done = (0, 0)
        self._signature: tuple[Any, ...] = self._look()
        self._run: RunFolder = open_run(path)
        self._known = self._builder.load()
        self._publish(self._builder.snapshot())
        if not self._known or self._builder.covered != _size(self._run.rollouts):
            self._signature = ()
            self.refresh()

    def close(self) -> None:
        self._stopped = True
        if self._thread is not None:
            self._thread.join()

    @property
    def indexing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def refresh(self) -> None:
        """Look whether any file changed; read what is new."""
        with self._lock:
            signature = self._look()
            if signature == self._signature or self.indexing:
                return
            self._signature = signature
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        # Small runs are ready at once; a large one goes on while the page is looked at.
        self._thread.join(timeout=0.15)

    def _read(self) -> None:
        """Read what is new; a run that vanishes meanwhile stays as it was last seen."""
        try:
            with _answers_first():
                self._index()
        except (RunError, OSError):
            self._done = (0, 0)

    def _index(self) -> None:
        shown = 0

        def progress(done: int, size: int) -> None:
            nonlocal shown
            self._done = (done, size)
            if done - shown > max(size // 12, 8_000_000):
                shown = done
                self._publish(self._builder.snapshot())

        self._run = open_run(self.path)
        before = self._builder.covered
        changed = self._builder.update(progress, stop=lambda: self._stopped)
        self._publish(self._builder.snapshot())
        grown = self._builder.covered - before
        if changed and not self._stopped and (not self._known or grown > 50_000_000):
            self._builder.save()
            self._known = True
        self._done = (0, 0)

    def _publish(self, index: Index) -> None:
        """Make ready all that the page shows, so that answering takes no time."""
        run = self._run
        groups = Searchable.of(run, index)
        groups.order("newest")
        payload = build_payload(run, index)
        held_out = next((number for number in payload["key"] if "to" in number), None)
        self._revision += 1
        # One assignment: a reader sees all of the old or all of the new.
        self._shown = _Shown(groups, to_json(payload), held_out, self._revision)

    def _look(self) -> tuple[Any, ...]:
        found = []
        for name in FILES:
            try:
                status = (self.path / name).stat()
                found.append((name, status.st_size, status.st_mtime_ns))
            except OSError:  # not there, or not there any more
                found.append((name, -1, -1))
        return (*found, *self._stages())

    def _stages(self) -> list[tuple[str, bool]]:
        """The stages beside this one, which its page names."""
        if not STAGE.match(self.path.name):
            return []
        beside = stage_folders(self.path.parent)
        return [(path.name, (path / "done.json").exists()) for path in beside]

    def state(self) -> dict[str, Any]:
        """What a page asks every two seconds."""
        self.refresh()
        done, size = self._done
        text = "Reading what is new." if self.indexing else ""
        if text and size and not self._known:
            text = f"Building the index of the rollouts, once: {done / size:.0%} of "
            text += f"{size / 1e6:,.0f} MB. What has been read can be looked at."
        # The state word changes without any file changing: a run goes quiet.
        word = state(self._shown.run)["word"]
        return {"revision": f"{self._shown.revision}-{word}", "text": text}

    def payload(self, more: dict[str, Any]) -> str:
        """Everything but the groups as JSON, with the state of this moment and what is added."""
        self.refresh()
        shown = self._shown
        now = state(shown.run)
        added = {"state": now, "revision": f"{shown.revision}-{now['word']}", **more}
        return f"{shown.payload[:-1]},{to_json(added)[1:]}"

    def groups(self, wanted: dict[str, str]) -> dict[str, Any]:
        return list_groups(self._shown.groups, wanted)

    def group(self, place: int) -> dict[str, Any] | None:
        run, index = self._shown.run, self._shown.index
        if not 0 <= place < index.num_groups:
            return None
        group = read_group(run.rollouts, index, place, MAX_TEXT)
        question = run.questions.get(group["sample"])
        values = question_values(group["sample"], question)
        if question is not None:
            # A picture is named by place, never by path: an address cannot ask for another file.
            sample = int(index.groups["sample"][place])
            values["pictures"] = [f"{sample}.{n}" for n in range(len(question.images[:16]))]
        return {**group, "question": values}

    def same(self, sample: str) -> list[dict[str, Any]]:
        index = self._shown.index
        if sample not in index.sample_ids:
            return []
        number = index.sample_ids.index(sample)
        places = np.flatnonzero(index.groups["sample"] == number)
        places = places[np.argsort(index.groups["step"][places], kind="stable")]
        return [summary(index, int(place)) for place in places[:2000]]

    def picture(self, key: str) -> bytes | None:
        run, index = self._shown.run, self._shown.index
        sample, _, number = key.partition(".")
        if not (sample.isdecimal() and number.isdecimal() and len(key) < 20):
            return None
        if int(sample) >= len(index.sample_ids):
            return None
        question = run.questions.get(index.sample_ids[int(sample)])
        if question is None or int(number) >= len(question.images):
            return None
        path = find_picture(run.path, question.images[int(number)])
        return shrink(path, PICTURE_SIDE) if path else None

    def line(self) -> dict[str, Any]:
        """What the list of runs says of this one."""
        run = self._shown.run
        accuracy = [value for _, value in run.metrics.values("accuracy")][-10:]
        return {
            "name": run.name,
            "state": state(run)["text"],
            "recipe": str(run.config.get("recipe") or "–"),
            "model": str(run.config.get("model") or "–"),
            "accuracy": sum(accuracy) / len(accuracy) if accuracy else None,
            "held_out": self._shown.held_out,
        }


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


_reading = 0
_turns_lock = threading.Lock()
_usual_turn = sys.getswitchinterval()


@contextmanager
def _answers_first() -> Iterator[None]:
    """Short turns while any run is read: the setting is one for all threads, so the first reader
    makes it and the last one takes it back."""
    global _reading, _usual_turn
    with _turns_lock:
        if _reading == 0:
            _usual_turn = sys.getswitchinterval()
            sys.setswitchinterval(ANSWERS_FIRST)
        _reading += 1
    try:
        yield
    finally:
        with _turns_lock:
            _reading -= 1
            if _reading == 0:
                sys.setswitchinterval(_usual_turn)
