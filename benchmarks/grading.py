"""How fast responses are scanned and answers graded.

    python benchmarks/grading.py

Wall and processor time are shown; on a busy machine only the second means anything, and the
verdict goes by it (the math checker's workers included). Measured against: 1 MB of hostile text
scanned under 50 ms; 10,000 numbers or choices graded under 2 s on one core; 1,000 LaTeX answers
under 20 s on two; no single grade over 2 s. The start of the math checker, which imports sympy in
its own process, is measured apart.
"""

import argparse
import random
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from observe_r1.grading import grade, math_checker
from observe_r1.grading.math_checker import same_expression
from observe_r1.text import parse_response

MEGABYTE = 1_000_000

HOSTILE_TEXTS = {
    "open tags": "<think>",
    "answers": "<answer>1</answer>",
    "angle brackets": "<",
    "half tags": "<think",
    "invisible": "​",
    "words": "the red square ",
}
HOSTILE_ANSWERS = (
    "9**9**9**9",
    "9" * 100_000,
    "(" * 50_000 + "1" + ")" * 50_000,
    "\\frac{" * 10_000,
    "2^{2^{2^{2^{2^{9}}}}}",
    "\\binom{10^{9}}{5 \\cdot 10^{8}}",
    "x^{99999999} - x^{99999998} + \\sin(\\sin(\\sin(x)))",
    "\\sum_{k=1}^{10^{9}} \\frac{1}{k^{2}}",
    "\\int_0^1 \\sin(x^{x^{x}}) dx",
    "(a+b+c+d)^{40}(a-b-c-d)^{40}",
    "A " * 50_000,
)


def numbers(count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Answers as models write them, each text its own, so that no cache helps."""
    forms = (
        "{0}",
        "{0} cm",
        "x = {0}",
        "The answer is {0}.",
        "${0}$",
        "\\frac{{{0}}}{{3}}",
        "{0}%",
    )
    values = (f"{rng.randrange(10**6)}.{rng.randrange(100):02d}" for _ in range(count))
    return [(rng.choice(forms).format(value), value) for value in values]


def choices(count: int, rng: random.Random) -> list[tuple[str, str, list[str]]]:
    forms = ("{0}", "({0})", "{0}. {1}", "The answer is {0}", "{1}", "option {0}, not sure")
    rows = []
    for _ in range(count):
        options = [f"{rng.randrange(10**6)} cm" for _ in range(5)]
        index = rng.randrange(5)
        rows.append((rng.choice(forms).format("ABCDE"[index], options[index]), "C", options))
    return rows


def expressions(count: int, rng: random.Random) -> list[tuple[str, str]]:
    forms = (
        ("{a}x^{{2}}-{b}", "{a}x^{{2}} - {b}"),
        ("(x+{a})(x-{b})", "x^{{2}}+({a}-{b})x-{a}\\cdot {b}"),
        ("\\frac{{{a}x+{b}}}{{2}}", "\\frac{{{a}x}}{{2}}+\\frac{{{b}}}{{2}}"),
        ("y={a}x+{b}", "y-{b}={a}x"),
        ("\\sqrt{{{a}}}x", "{b}\\sqrt{{x}}"),
    )
    rows = []
    for _ in range(count):
        gold, answer = rng.choice(forms)
        values = {"a": rng.randrange(2, 500), "b": rng.randrange(2, 500)}
        rows.append((answer.format(**values), gold.format(**values)))
    return rows


@dataclass(frozen=True)
class Cost:
    """Seconds of one piece of work."""

    wall: float
    processor: float


def processor_seconds() -> float:
    """Processor time of this process and of the workers, which are ended to be counted."""
    math_checker.stop_checker()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def timed(work: Callable[[], object]) -> Cost:
    before, start = processor_seconds(), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    return Cost(wall, processor_seconds() - before)


def tagged(answer: str) -> str:
    return f"<think>so</think><answer>{answer}</answer>"


def report(what: str, cost: Cost, limit: float) -> None:
    verdict = "ok" if cost.processor <= limit else "TOO SLOW"
    print(
        f"{what:<44} wall {cost.wall * 1000:9.1f} ms   processor {cost.processor * 1000:9.1f} ms   "
        f"limit {limit * 1000:6.0f} ms   {verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    rng = random.Random(parser.parse_args().seed)
    for name, piece in HOSTILE_TEXTS.items():
        text = piece * (MEGABYTE // len(piece.encode()))
        scan = timed(lambda text=text: parse_response(text, "observe_think_answer"))
        report(f"scan 1 MB of {name}", scan, 0.05)
    rows = numbers(10_000, rng)
    report("10,000 numbers", timed(lambda: [grade(tagged(a), g) for a, g in rows]), 2.0)
    picks = choices(10_000, rng)
    report(
        "10,000 choices",
        timed(lambda: [grade(tagged(a), g, options=o) for a, g, o in picks]),
        2.0,
    )
    report("start of the math checker", timed(lambda: same_expression("x+1", "1+x")), 4.0)
    formulas = expressions(1_000, rng)
    with ThreadPoolExecutor(2) as threads:
        work = partial(threads.map, lambda row: grade(tagged(row[0]), row[1]), formulas)
        report("1,000 LaTeX answers, workers and their start", timed(lambda: list(work())), 40.0)
    for gold in ("3", "x^{2}-1", "B"):
        report(f"slowest hostile answer to {gold}", slowest_hostile(gold), 2.0)


def slowest_hostile(gold: str) -> Cost:
    """The longest wait for one hostile answer, by the clock, with the checker warm.

    Processor time would count the imports of a worker in the grade that ended it.
    """
    same_expression("x+2", "2+x")
    time.sleep(4.0)  # the spare workers import sympy
    slowest = max(timed(partial(grade, tagged(answer), gold)).wall for answer in HOSTILE_ANSWERS)
    return Cost(slowest, slowest)


if __name__ == "__main__":
    main()
