"""Many items of work, done once by any number of workers on any number of machines.

    items 0 … N   cut into blocks of 64
       worker A ─ claims block 0 ─ does it ─▶ parts/000000-8.jsonl.gz   written once, whole
       worker B ─ claims block 1 ─ does it ─▶ parts/000001-8.jsonl.gz
       worker B dies at block 2 ─ A sees that, claims it next ─▶ parts/000002-8.jsonl.gz

    store.json   what the rows come from; a worker with other settings is refused
    parts/       one object a finished block, its name never used twice: the rows that count
    partial/     rows of blocks that a worker had to leave, for whoever takes them next
    claims/ workers/    who is at what; see ``claims``

Workers are started with the same command, wherever and whenever: nothing else knows of them. A
worker that is stopped puts aside what it has; one that is killed loses the blocks it was at.
"""

import gzip
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.errors import ConfigError, RunError
from observe_r1.records import to_line, write_atomic
from observe_r1.shared.bucket import Bucket
from observe_r1.shared.claims import Claims, SignOfLife

FORMAT = 1
STORE, PARTS, PARTIAL, SUFFIX = "store.json", "parts", "partial", ".jsonl.gz"

Row = dict[str, Any]


class ShareSettings(Config):
    """How one worker takes part.

    Example:
        ShareSettings(shard=2, num_shards=8)    # only every eighth block, the second of each eight
    """

    block_size: int = Field(default=64, ge=1)
    """Items claimed at once; the first worker's number holds for all."""

    lanes: int = Field(default=1, ge=1)
    """Blocks one worker is at; with two, one fills the gaps that the other's end leaves."""

    shard: int = Field(default=1, ge=1)
    """Which share this worker keeps to, counted from 1."""

    num_shards: int = Field(default=1, ge=1)
    """1: any block. Shares only divide the work: whatever they are, a block counts once."""

    lease_seconds: float = Field(default=120.0, gt=0)
    """A worker that gives no sign of life for so long is taken for dead."""

    poll_seconds: float = Field(default=5.0, gt=0)
    """How often a worker without work looks whether others have ended or died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Items ``start`` to ``stop``, the last one excluded."""

    number: int
    start: int
    stop: int


class BlockRows:
    """The rows of one block: those that earlier workers left, and those added now."""

    def __init__(self, before: Sequence[Row], must_stop: threading.Event) -> None:
        self.before = before
        self.added: list[Row] = []
        self._must_stop = must_stop
        self._lock = threading.Lock()

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows; this is also where a worker that is to stop leaves its block."""
        with self._lock:
            self.added += rows
        if self._must_stop.is_set():
            raise WorkStopped


class WorkStopped(Exception):
    """Another lane of this worker failed or was interrupted; its error is the one to raise."""


@dataclass(slots=True)
class WorkSummary:
    """What one worker did."""

    blocks: int = 0
    late: int = 0
    """Blocks that another worker had finished first; their rows were dropped."""
    rows: int = 0
    failed: list[str] = field(default_factory=list)
    """Names of the items that could not be done; they are tried again next time."""
    missing: int = 0
    """Blocks of the whole that are not done yet, by anyone."""


Do = Callable[[Block, BlockRows], Sequence[str]]
"""Does what is missing of a block, adds its rows, returns the names of the items that failed."""


class SharedWork:
    """One worker's view of the work.

    Example:
        work = SharedWork(open_bucket("s3://b/probe"), identity={"model": "…"}, num_items=1_000_000,
                          target="8", spool=Path("unsent"))
        summary = work.run(do_block)
        if not summary.missing:
            for block, rows in work.results(): ...
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        identity: Mapping[str, Any],
        num_items: int,
        target: str,
        spool: Path,
        settings: ShareSettings | None = None,
    ) -> None:
        settings = settings or ShareSettings()
        self.bucket = bucket
        self.spool = spool
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.target = target
        block_size = _agree(bucket, {**identity, "items": num_items}, settings.block_size)
        self.settings = settings.model_copy(update={"block_size": block_size})
        starts = range(0, num_items, block_size)
        self._blocks = {
            f"{n:06d}-{target}": Block(number=n, start=i, stop=min(i + block_size, num_items))
            for n, i in enumerate(starts)
        }
        self._must_stop = threading.Event()
        self._lock = threading.Lock()
        self._known_done: set[str] = set()
        self._own: set[str] = set()
        self._earlier: dict[int, list[str]] = {}
        """Parts of each block that were written for another target."""

    def run(self, do: Do, on_done: Callable[[int], None] = lambda items: None) -> WorkSummary:
        """Work until every block of this worker's share is done; ``on_done`` hears of items that
        other workers have finished."""
        summary = WorkSummary()
        self._send_spooled()
        self._earlier = self._parts_by_block(lambda name: not name.endswith(f"-{self.target}"))
        claims = Claims(
            self.bucket, self.worker, self._order(), lease_seconds=self.settings.lease_seconds
        )
        beat = SignOfLife(self.bucket, self.worker, self.settings.lease_seconds / 4)
        with beat.kept():
            if self.settings.lanes == 1:
                self._lane(do, claims, summary, on_done)
            else:
                self._lanes(do, claims, summary, on_done)
        summary.missing = len(self._blocks.keys() - self._done(on_done))
        return summary

    @property
    def has_finished_blocks(self) -> bool:
        """Whether any worker has ended any block."""
        return bool(self.bucket.names(PARTS))

    def results(self) -> Iterator[tuple[Block, list[Row]]]:
        """The rows of each finished block, in the order of the items."""
        parts = self._parts_by_block(lambda name: True)
        with ThreadPoolExecutor(16) as pool:  # objects are far away and small
            blocks = [b for b in self._blocks.values() if b.number in parts]
            for start in range(0, len(blocks), 64):
                chunk = blocks[start : start + 64]
                rows = pool.map(lambda b: self._read(parts[b.number]), chunk)
                yield from zip(chunk, rows, strict=True)

    def _order(self) -> list[str]:
        """This worker's share, beginning at a place of its own, so that few reach for the same."""
        number, of = self.settings.shard, self.settings.num_shards
        if number > of:
            raise ConfigError(
                f"shard {number}/{of} does not exist. Count from 1: the last one is {of}/{of}."
            )
        names = [n for n, block in self._blocks.items() if block.number % of == number - 1]
        first = hash_of(self.worker) % max(len(names), 1)
        return names[first:] + names[:first]

    def _lanes(
        self, do: Do, claims: Claims, summary: WorkSummary, on_done: Callable[[int], None]
    ) -> None:
        with ThreadPoolExecutor(self.settings.lanes) as pool:
            lanes = [
                pool.submit(self._lane, do, claims, summary, on_done)
                for _ in range(self.settings.lanes)
            ]
            try:
                wait(lanes, return_when=FIRST_EXCEPTION)
            finally:
                failed = any(lane.done() and lane.exception() for lane in lanes)
                if failed or not all(lane.done() for lane in lanes):
                    self._must_stop.set()
        errors = [error for lane in lanes if (error := lane.exception())]
        for error in sorted(errors, key=lambda e: isinstance(e, WorkStopped)):
            raise error

    def _lane(
        self, do: Do, claims: Claims, summary: WorkSummary, on_done: Callable[[int], None]
    ) -> None:
        while not self._must_stop.is_set():
            with self._lock:
                name = claims.take(lambda: self._done(on_done))
            if name is not None:
                self._do_block(name, do, claims, summary)
            elif not claims.others_hold_some:
                return
            else:
                self._must_stop.wait(self.settings.poll_seconds)

    def _do_block(self, name: str, do: Do, claims: Claims, summary: WorkSummary) -> None:
        block, started = self._blocks[name], time.monotonic()
        aside = [f"{PARTIAL}/{n}" for n in self.bucket.names(PARTIAL) if n.startswith(f"{name}.")]
        left = self._read(aside)
        earlier = self._read(self._earlier.get(block.number, []))
        rows = BlockRows([*earlier, *left], self._must_stop)
        try:
            failed = do(block, rows)
            is_first = not failed and self._publish(name, [*left, *rows.added])
        except BaseException:
            self._put_aside(name, rows.added)
            raise
        if failed:
            self._put_aside(name, rows.added)
            claims.give_back(name)
        else:
            for one in aside:
                self.bucket.discard(one)
        with self._lock:
            seconds = time.monotonic() - started
            claims.longest_own_seconds = max(claims.longest_own_seconds, seconds)
            self._own.add(name)
            summary.failed += failed
            summary.blocks += is_first
            summary.late += not failed and not is_first
            summary.rows += len(rows.added) if is_first else 0

    def _done(self, on_done: Callable[[int], None]) -> set[str]:
        """Names of all finished blocks."""
        found = {n.removesuffix(SUFFIX) for n in self.bucket.names(PARTS)}
        for name in (found - self._known_done) & self._blocks.keys():
            if name not in self._own:
                on_done(self._blocks[name].stop - self._blocks[name].start)
        self._known_done |= found
        return found

    def _parts_by_block(self, is_wanted: Callable[[str], bool]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for name in self.bucket.names(PARTS):
            if is_wanted(name.removesuffix(SUFFIX)):
                found.setdefault(int(name.partition("-")[0]), []).append(f"{PARTS}/{name}")
        return found

    def _read(self, names: Iterable[str]) -> list[Row]:
        rows: list[Row] = []
        for name in names:
            if data := self.bucket.get(name):
                rows += [json.loads(line) for line in gzip.decompress(data).splitlines()]
        return rows

    def _publish(self, name: str, rows: Sequence[Row]) -> bool:
        return self.bucket.put_new(f"{PARTS}/{name}{SUFFIX}", _packed(rows))

    def _put_aside(self, name: str, rows: Sequence[Row]) -> None:
        """Keep the rows of a block that is left: in the bucket, or where it refuses, right here."""
        if not rows:
            return
        aside = f"{name}.{self.worker}-{uuid.uuid4().hex[:4]}"
        try:
            self.bucket.put_new(f"{PARTIAL}/{aside}", _packed(rows))
        except RunError:
            write_atomic(self.spool / aside, _packed(rows))

    def _send_spooled(self) -> None:
        """What an earlier worker on this machine could not put into the bucket."""
        for path in sorted(self.spool.glob("[0-9]*")) if self.spool.is_dir() else ():
            self.bucket.put_new(f"{PARTIAL}/{path.name}", path.read_bytes())
            path.unlink(missing_ok=True)


def _agree(bucket: Bucket, identity: Mapping[str, Any], block_size: int) -> int:
    """The block size of the store, once it is certain that it was made with the same settings."""
    mine = {"format": FORMAT, "observe_r1": version("observe-r1"), **identity}
    mine = json.loads(json.dumps(mine))  # as it is read back
    stored = bucket.get(STORE)
    if stored is None:
        bucket.check_exclusive()
        bucket.put_new(STORE, json.dumps({**mine, "block_size": block_size}, indent=2).encode())
        stored = bucket.get(STORE)
    assert stored is not None  # it has just been written, by this worker or by another one
    theirs: dict[str, Any] = json.loads(stored)
    block_size = theirs.pop("block_size")
    other = sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))
    if other:
        what = "; ".join(f"{k} is {theirs.get(k)!r} there, {mine.get(k)!r} here" for k in other)
        raise RunError(
            f"{bucket.url} belongs to other work ({what}), and rows of both cannot be added up. "
            "Give every worker the same command, data and version of observe-r1, or name another "
            "--store."
        )
    return block_size


def hash_of(text: str) -> int:
    """128 bits that are the same in every process."""
    return uuid.uuid5(uuid.NAMESPACE_OID, text).int


def _packed(rows: Iterable[Row]) -> bytes:
    return gzip.compress("".join(map(to_line, rows)).encode("ascii"), mtime=0)
