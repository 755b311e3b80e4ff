"""Calls in threads: how far they run ahead of the caller, and what is left after a stop."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from observe_r1.calls import Calls


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_every_call_comes_once(pool: ThreadPoolExecutor) -> None:
    calls = Calls(pool, [partial(pow, n, 2) for n in range(100)], at_once=3)
    assert sorted(call.result() for call in calls) == [n * n for n in range(100)]


def test_nothing_to_call_is_nothing(pool: ThreadPoolExecutor) -> None:
    assert not list(Calls[int](pool, [], at_once=3))


def test_a_call_that_failed_comes_with_its_error(pool: ThreadPoolExecutor) -> None:
    (call,) = Calls(pool, [partial(int, "x")], at_once=3)
    assert isinstance(call.exception(), ValueError)


@pytest.mark.parametrize("at_once", [1, 4])
def test_they_run_no_further_ahead_than_is_allowed(pool: ThreadPoolExecutor, at_once: int) -> None:
    begun: list[int] = []
    calls = Calls(pool, [partial(begun.append, n) for n in range(100)], at_once=at_once)
    for seen, _ in enumerate(calls, 1):
        assert len(begun) <= seen + at_once - 1
    assert len(begun) == 100


def test_after_a_stop_those_on_their_way_come_and_no_more_begin(pool: ThreadPoolExecutor) -> None:
    all_begun = threading.Barrier(4, timeout=10)
    go_on = threading.Event()

    def task(number: int) -> int:
        all_begun.wait()
        if number:
            go_on.wait()
        return number

    calls = Calls(pool, [partial(task, n) for n in range(100)], at_once=4)
    found = []
    for call in calls:
        found.append(call.result())
        calls.stop()
        go_on.set()
    assert sorted(found) == [0, 1, 2, 3]


def test_a_stop_does_not_wait_for_calls_of_others() -> None:
    """A pool may be shared: what no thread has got to is taken back at once."""
    busy = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(busy.wait)
        calls = Calls(pool, [partial(int, "1")] * 5, at_once=5)
        calls.stop()
        assert list(calls) == []
        busy.set()
