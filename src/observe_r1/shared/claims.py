"""Who works on which block, agreed on through the bucket alone.

    workers/<worker>          a counter, written again every few seconds; "ended" at the end
    claims/<block>.<n>        holds a worker's name; the n-th worker that took the block

A claim can only be written once, so two workers never both hold claim n. Claim n + 1 may follow
when the holder of n has ended, has been silent for too long, or is far slower than this worker. How
long somebody has been silent is counted on the observer's own clock from what it saw, so machines
need not agree on the time.

A claim saves work, nothing more: what makes a block count once is that its result, too, can only be
written once. See ``work``.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from observe_r1.shared.bucket import Bucket

WORKERS, CLAIMS = "workers", "claims"
ENDED = b"ended"


class SignOfLife:
    """A worker's counter, written by a thread of its own while the worker works."""

    def __init__(self, bucket: Bucket, worker: str, every_seconds: float) -> None:
        self._bucket, self._name, self._every = bucket, f"{WORKERS}/{worker}", every_seconds
        self._ended = threading.Event()

    @contextmanager
    def kept(self) -> Iterator[None]:
        self._bucket.put(self._name, b"0")
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._say(ENDED)

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(self._every):
            count += 1
            self._say(str(count).encode())

    def _say(self, word: bytes) -> None:
        """A sign of life that cannot be written costs some work done twice, so it stops nobody."""
        try:
            self._bucket.put(self._name, word)
        except Exception:
            return


class Silences:
    """For how long each of several things has not changed, as far as this process has seen."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[str, tuple[bytes | None, float]] = {}

    def seconds(self, name: str, value: bytes | None) -> float:
        last = self._seen.get(name)
        if last is None or last[0] != value:
            self._seen[name] = (value, self._now())
            return 0.0
        return self._now() - last[1]


class Claims:
    """Blocks for one worker to take. Safe to share between its threads, one call at a time.

    Example:
        claims = Claims(bucket, "node7-4123", names, lease_seconds=120)
        while (name := claims.take(done)) is not None:
            ...
    """

    def __init__(
        self, bucket: Bucket, worker: str, names: Sequence[str], *, lease_seconds: float
    ) -> None:
        self._bucket = bucket
        self._worker = worker
        self._names = names
        self._lease = lease_seconds
        self._silences = Silences()
        self._generations: dict[str, int] = {}
        self._free: deque[str] | None = None
        self.longest_own_seconds = 0.0
        """How long this worker has needed for a block at most."""
        self.others_hold_some = False
        """Whether the last ``take`` found blocks that are missing and in other hands."""

    def take(self, done: Callable[[], set[str]]) -> str | None:
        """A block that is this worker's from now on; None when there is none at the moment."""
        if self._free is None:
            self._free = self._find_free(done())
        while self._free:
            for _ in range(min(3, len(self._free))):
                name = self._free.popleft()
                if self._claim(name, 0):
                    return name
            self._free = self._find_free(done())  # others are at the same blocks: look again
        return self._take_over(done)

    def give_back(self, name: str) -> None:
        """Let others take a block that this worker could not do; it does not try it again."""
        self._bucket.put_new(f"{CLAIMS}/{name}.{self._generations[name] + 1}", b"given back")

    def _find_free(self, done: set[str]) -> deque[str]:
        taken = {name.rpartition(".")[0] for name in self._bucket.names(CLAIMS)}
        return deque(n for n in self._names if n not in done and n not in taken)

    def _claim(self, name: str, generation: int) -> bool:
        mine = self._bucket.put_new(f"{CLAIMS}/{name}.{generation}", self._worker.encode())
        if mine:
            self._generations[name] = generation
        return mine

    def _take_over(self, done: Callable[[], set[str]]) -> str | None:
        """Every block has been claimed: take one whose holder will not bring it."""
        newest: dict[str, int] = {}
        for claim in self._bucket.names(CLAIMS):
            name, _, generation = claim.rpartition(".")
            newest[name] = max(newest.get(name, -1), int(generation))
        known = done()
        left = [n for n in self._names if n not in known and n not in self._generations]
        self.others_hold_some = bool(left)
        for name in left:
            held = newest.get(name, -1)
            is_free = held < 0 or self._is_given_up(f"{CLAIMS}/{name}.{held}")
            # A holder that has ended may have brought it since, just before its end.
            if is_free and name not in done() and self._claim(name, held + 1):
                return name
        return None

    def _is_given_up(self, claim: str) -> bool:
        holder = self._bucket.get(claim)
        sign = self._bucket.get(f"{WORKERS}/{holder.decode()}") if holder else None
        if holder is None or sign in (None, ENDED):
            return True
        silent = self._silences.seconds(f"{WORKERS}/{holder.decode()}", sign)
        held = self._silences.seconds(claim, holder)
        return silent > self._lease or held > max(self._lease, 3 * self.longest_own_seconds)
