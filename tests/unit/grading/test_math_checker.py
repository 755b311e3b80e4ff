"""The math checker: in threads, within its time, and back after a crash."""

import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from observe_r1.grading import grade, math_checker
from observe_r1.grading.math_checker import same_expression

SLOW = "\\sin(x^{x^{x^{x}}})^{999} \\cdot \\int_0^{x^{x}} e^{t^{t}} dt"


def test_the_gold_comes_first_and_equal_expressions_are_equal() -> None:
    assert same_expression("x^{2}-1", "(x-1)(x+1)").equal
    assert not same_expression("x^{2}-1", "(x-1)(x+2)").equal


def test_what_cannot_be_read_is_said_to_be_so() -> None:
    assert same_expression("x^{2}", "\\frac{").problem == "answer"
    assert not math_checker.can_read("\\frac{")


def processor_seconds() -> float:
    """Processor time of the workers that have ended; the running ones are ended for it."""
    math_checker.stop_checker()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "slow",
    [
        SLOW,
        pytest.param("2^{10^{10}} - x", marks=pytest.mark.slow),
        pytest.param("\\binom{10^{9}}{10^{8}}", marks=pytest.mark.slow),
    ],
)
def test_a_comparison_in_a_worker_thread_keeps_its_time_limit(slow: str) -> None:
    before = processor_seconds()
    same_expression(
        f"x+{len(slow)}", f"{len(slow)}+x"
    )  # a verdict that is remembered starts nothing
    start = processor_seconds() - before
    verdicts: list[bool] = []
    thread = threading.Thread(target=lambda: verdicts.append(same_expression("x", slow).equal))
    thread.start()
    thread.join(120)
    assert verdicts == [False]
    used = processor_seconds() - before - start
    assert used < 2.2 + 3 * start, "more than its time and the start of two workers"


def test_many_threads_share_the_workers() -> None:
    pairs = [(f"{n}x+{n}", f"{n}(x+1)") for n in range(2, 12)]
    with ThreadPoolExecutor(6) as threads:
        verdicts = list(threads.map(lambda pair: same_expression(*pair), pairs))
    assert all(verdict.equal for verdict in verdicts)


def test_a_worker_that_dies_is_replaced() -> None:
    same_expression("x+1", "1+x")
    for worker in math_checker._pool._all:
        if worker._process is not None:
            worker._process.kill()
            worker._process.wait()
    assert same_expression("x+3", "3+x").equal


def test_nothing_is_evaluated_as_code(tmp_path) -> None:
    marker = tmp_path / "owned"
    attack = f"__import__('pathlib').Path('{marker}').touch()"
    for gold in ("7", "x+1"):
        for answer in (attack, f"${attack}$", f"\\text{{{attack}}}", f"x+({attack})"):
            assert not grade(f"<answer>{answer}</answer>", gold).correct
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gets_workers_of_its_own() -> None:
    assert same_expression("x+5", "5+x").equal
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # only os._exit leaves the child, so that pytest goes on once
        os.write(writer, b"1" if same_expression("y+5", "5+y").equal else b"0")
        math_checker.stop_checker()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    os.close(reader)
    os.close(writer)
    assert same_expression("z+5", "5+z").equal
