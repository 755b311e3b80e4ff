"""math-verify behind a time limit that holds in any thread.

    any thread ──request──▶ worker process (alarm inside) ──verdict──▶ any thread
                            └─ ended by the kernel: a new one starts in the background

The workers start when they are first needed and stay. Verdicts are cached.
"""

import atexit
import contextlib
import json
import math
import os
import queue
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from observe_r1.errors import EngineError

COMPARE_SECONDS = 0.9
"""Processor time the worker may spend on one comparison; the kernel ends it at two seconds."""
ANSWER_SECONDS = 60.0
"""Longest wait for a verdict: only a machine that is all but standing still comes near."""
START_SECONDS = 300.0
NUM_WORKERS = 3
"""One more than a small machine has cores: two can be starting anew while the third answers."""
MAX_VERDICTS = 20_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Example: Verdict(equal=False, problem="time")"""

    equal: bool
    problem: str = ""
    """"gold" or "answer" that cannot be read, "time", "crash", or the name of an error."""


class Worker:
    """One worker process; started by ``start``, replaced by its owner after a kill."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._pending = b""
        self.started_at = math.inf

    def start(self) -> None:
        """Start the process and return at once; ``ask`` waits until it is ready."""
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "observe_r1.grading.math_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._is_ready, self._pending = False, b""
        self.started_at = time.monotonic()

    def wait_until_ready(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self.start()
        if not self._is_ready:
            if self._read_line(START_SECONDS) is None:
                self.stop()
                raise EngineError(
                    "the math checker did not start. Is math-verify installed? "
                    "Try: python -m observe_r1.grading.math_worker < /dev/null"
                )
            self._is_ready = True

    def ask(self, gold: str, answer: str | None) -> Verdict:
        self.wait_until_ready()
        request = {"gold": gold, "answer": answer, "seconds": COMPARE_SECONDS}
        line = self._exchange((json.dumps(request) + "\n").encode())
        if line is None:
            problem = self._cause_of_death()
            self.stop()
            self.start()
            return Verdict(False, problem)
        reply = json.loads(line)
        return Verdict(reply["equal"], reply.get("problem", ""))

    def _cause_of_death(self) -> str:
        """Why there was no verdict: out of time, by the kernel's hand or by ours, or a crash."""
        assert self._process is not None
        try:
            status = self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return "time"
        return "time" if status in (-signal.SIGXCPU, -signal.SIGKILL) else "crash"

    def _exchange(self, request: bytes) -> bytes | None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except OSError:
            return None
        return self._read_line(ANSWER_SECONDS)

    def _read_line(self, seconds: float) -> bytes | None:
        """One line of the worker's output; None when time runs out or the pipe ends."""
        assert self._process is not None and self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return None
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # bytes buffered for a process that is gone
                    pipe.close()

    def forget(self) -> None:
        """Let go of a worker that belongs to the process we were forked from."""
        self._process = None


class _Pool:
    """Idle workers; a caller takes the one that has been up longest, asks, and puts it back.

    So a worker that was killed is asked again last, when it has had time to start anew.
    """

    def __init__(self) -> None:
        self._all = [Worker() for _ in range(NUM_WORKERS)]
        self._idle: queue.PriorityQueue[tuple[float, int]] = queue.PriorityQueue()
        self._has_spares = False
        for number in range(NUM_WORKERS):
            self._put_back(number)

    def _put_back(self, number: int) -> None:
        self._idle.put((self._all[number].started_at, number))

    def ask(self, gold: str, answer: str | None) -> Verdict:
        _, number = self._idle.get()
        try:
            return self._all[number].ask(gold, answer)
        finally:
            self._put_back(number)
            if not self._has_spares:  # after the first verdict, which would have to share the cores
                self._has_spares = True
                self.start()

    def start(self) -> None:
        """Start every idle worker without waiting for it."""
        taken = []
        while True:
            try:
                taken.append(self._idle.get_nowait()[1])
            except queue.Empty:
                break
        for number in taken:
            if self._all[number]._process is None:
                self._all[number].start()
            self._put_back(number)

    def stop(self) -> None:
        for worker in self._all:
            worker.stop()

    def forget(self) -> None:
        for worker in self._all:
            worker.forget()


_pool = _Pool()


def _after_fork() -> None:
    """A forked child must not talk over its parent's pipes: it gets workers of its own."""
    global _pool
    _pool.forget()
    _pool = _Pool()


os.register_at_fork(after_in_child=_after_fork)


def stop_checker() -> None:
    """End the workers; the next comparison starts them again."""
    _pool.stop()


atexit.register(stop_checker)


_verdicts: dict[tuple[str, str], Verdict] = {}
"""What was compared before, without verdicts that a busy machine may have spoilt."""


def same_expression(gold: str, answer: str) -> Verdict:
    """Whether two LaTeX expressions are equal; the gold comes first, the order matters."""
    known = _verdicts.get((gold, answer))
    if known is not None:
        return known
    verdict = _pool.ask(gold, answer)
    if verdict.problem not in ("time", "crash"):
        if len(_verdicts) >= MAX_VERDICTS:
            _verdicts.clear()
        _verdicts[gold, answer] = verdict
    return verdict


def can_read(gold: str) -> bool:
    """Whether the checker can read a gold at all."""
    return _pool.ask(gold, None).problem != "gold"


def start_checker() -> None:
    """Start the workers in the background, so that the first comparison does not wait for them."""
    _pool.start()
