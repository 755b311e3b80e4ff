"""Calls in threads, handed out as they end; the caller sets the pace.

    tasks ──▶ at most ``at_once`` begun ──▶ ended ──▶ the caller looks at it ──▶ the next begins

A new call begins only when one that ended has been dealt with. So a caller that has seen enough,
of failures say, knows how much goes on behind its back: no more than ``at_once``.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Calls(Generic[T]):
    """Iterates over calls as they end, in whatever order that is.

    Example:
        calls = Calls(pool, [partial(ask, question) for question in questions], at_once=4)
        for call in calls:
            if call.exception() is not None:
                calls.stop()  # those on their way still come
    """

    def __init__(
        self, pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], T]], *, at_once: int
    ) -> None:
        self._pool = pool
        self._waiting = iter(tasks)
        self._on_their_way: set[Future[T]] = set()
        self._ended: SimpleQueue[Future[T]] = SimpleQueue()
        self._is_stopped = False
        for _ in range(at_once):
            self._begin_next()

    def __iter__(self) -> Iterator[Future[T]]:
        while self._on_their_way:
            # ``as_completed`` would bring a cancelled call only when a thread has got to it, which
            # may be after everything that others have given to the pool; here it comes at once.
            call = self._ended.get()
            self._on_their_way.discard(call)
            if not (self._is_stopped and call.cancelled()):
                yield call
            self._begin_next()

    def stop(self) -> None:
        """Begin no more; those that a thread has got to come to their end."""
        self._is_stopped, self._waiting = True, iter(())
        for call in tuple(self._on_their_way):
            call.cancel()

    def _begin_next(self) -> None:
        task = next(self._waiting, None)
        if task is not None:
            call = self._pool.submit(task)
            self._on_their_way.add(call)
            call.add_done_callback(self._ended.put)
