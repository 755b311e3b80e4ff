"""Hostile completions: no exception, no hang, never right."""

import time
from collections import Counter

import pytest
from hostile_completions import attacks

from observe_r1.grading import grade, start_checker
from observe_r1.text import GRAMMARS, parse_response

LONGEST_SECONDS = 2.0
NAMES = tuple(GRAMMARS)


def run(count: int, seed: int) -> Counter[str]:
    """Grade and scan that many attacks; any that succeeds fails the test with itself shown."""
    start_checker()
    grade("<answer>x</answer>", "x+1", kind="expression")
    slowest, seen = 0.0, Counter[str]()
    for number, attack in enumerate(attacks(count, seed)):
        question, start = attack.question, time.process_time()
        found = grade(
            attack.completion,
            question.gold,
            kind=question.kind,  # type: ignore[arg-type]
            options=question.options or None,
            extract=attack.extract,  # type: ignore[arg-type]
        )
        parse_response(attack.completion, NAMES[number % len(NAMES)])
        slowest = max(slowest, time.process_time() - start)
        shown = (attack.completion[:300], question.gold, attack.extract, found)
        assert not found.correct, f"attack {number} of seed {seed} was rewarded: {shown!r}"
        seen[f"{question.kind} {attack.extract}"] += 1
    assert slowest < LONGEST_SECONDS, f"one grade took {slowest:.2f} s of processor time"
    return seen


def test_twenty_thousand_hostile_completions_are_never_right() -> None:
    run(20_000, seed=1)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(10, 20))
def test_a_million_hostile_completions_are_never_right(seed: int) -> None:
    start = time.perf_counter()
    seen = run(100_000, seed)
    print(f"\nseed {seed}: {sum(seen.values()):,} graded in {time.perf_counter() - start:.0f} s")
