"""Seconds of each phase of a step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up the time spent in named phases since it was made."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed

    def metrics(self) -> dict[str, float]:
        total = {"timing/step": time.perf_counter() - self.started}
        return total | {f"timing/{name}": value for name, value in self.seconds.items()}
