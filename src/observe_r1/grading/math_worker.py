"""The process in which math-verify runs: one JSON request a line in, one verdict a line out.

Only its LaTeX grammar is used. Its plain-expression reader hands text to Python's ``eval`` and is
never called: model output is data. Limits count processor time, so that a busy machine does not
turn right answers into wrong ones: an alarm ends a slow comparison from within, and where that
cannot be heard the kernel ends the process.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any

IDLE_SECONDS = 20.0
KILL_AFTER_SECONDS = 2
"""Processor time of one comparison after which the kernel ends the process; whole seconds."""
MAX_MEMORY_BYTES = 3 << 30


class OutOfTime(BaseException):
    """Raised by the alarm; no handler of a library may take it for an error of its own."""


def main() -> None:
    """Serve until the parent closes the pipe or is gone."""
    _limit_memory()
    parent = os.getppid()
    compare = _load()
    signal.signal(signal.SIGPROF, _on_alarm)
    _reply({"ready": True})
    while os.getppid() == parent:
        if not select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
            continue
        line = sys.stdin.readline()
        if not line:
            return
        _reply(_answer(compare, json.loads(line)))


def _reply(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _on_alarm(*_: Any) -> None:
    raise OutOfTime


def _limit_memory() -> None:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    except (ValueError, OSError):  # some systems refuse; the time limit still holds
        return


def _limit_time(seconds: float) -> None:
    """Arm the alarm, and the kernel's limit behind it."""
    import resource

    used = int(time.process_time())
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + KILL_AFTER_SECONDS, most))
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _load() -> Any:
    """Import the library once and run one comparison, so that the first request is quick."""
    import logging

    logging.disable(logging.CRITICAL)
    from math_verify import LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig(boxed_match_priority=0)]
    cache: dict[str, Any] = {}

    def read(text: str) -> Any:
        if len(cache) > 4096:
            cache.clear()
        if text not in cache:
            cache[text] = parse(
                f"\\boxed{{{text}}}",
                config,
                fallback_mode="no_fallback",
                parsing_timeout=None,  # type: ignore[arg-type]
            )
        return cache[text]

    def compare(gold: str, answer: str | None) -> dict[str, Any]:
        wanted = read(gold)
        if not wanted:
            return {"equal": False, "problem": "gold"}
        if answer is None:
            return {"equal": False}
        said = read(answer)
        if not said:
            return {"equal": False, "problem": "answer"}
        if _surely_differ(wanted[0], said[0]):
            return {"equal": False}
        return {"equal": bool(verify(wanted, said, timeout_seconds=None))}

    compare("x^{2}-1", "(x-1)(x+1)")
    return compare


def _surely_differ(gold: Any, answer: Any) -> bool:
    try:
        return differ_in_value(gold, answer)
    except Exception:  # sympy raises whatever it likes on odd formulas; the full comparison decides
        return False


def differ_in_value(gold: Any, answer: Any) -> bool:
    """Whether two scalar expressions differ at some point, clearly: spares a slow simplification.

    Symbols get one value a name, so "x + 1" and "y + 1" differ as well. Anything that is no finite
    number there proves nothing.
    """
    import sympy

    scalar = (sympy.Add, sympy.Mul, sympy.Pow, sympy.Number, sympy.NumberSymbol, sympy.Function)
    if not isinstance(gold, scalar) or not isinstance(answer, scalar):
        return False
    for shift in (sympy.Rational(37, 100), sympy.Rational(-83, 100)):
        values = [complex(_value_at(expression, shift)) for expression in (gold, answer)]
        size = max(abs(value) for value in values)
        if size < 1e12 and abs(values[0] - values[1]) > 1e-4 * max(size, 1.0):
            return True
    return False


def _value_at(expression: Any, shift: Any) -> Any:
    """The value where each symbol has a number of its own, made from its name."""
    points = {
        symbol: shift + sum(ord(char) * 7**i % 97 for i, char in enumerate(symbol.name)) / 53
        for symbol in expression.free_symbols
    }
    return expression.subs(points).evalf(15)


def _answer(compare: Any, request: dict[str, Any]) -> dict[str, Any]:
    _limit_time(request["seconds"])
    try:
        return compare(request["gold"], request["answer"])
    except OutOfTime:
        return {"equal": False, "problem": "time"}
    except Exception as error:  # whatever a hostile formula does, it is no match
        return {"equal": False, "problem": type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main()
