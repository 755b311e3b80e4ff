"""Hostile completions: no exception, no hang, never right."""

import time
from collections import Counter

import pytest
from hostile_completions import QUESTIONS, SYMBOLIC, Question, attacks

from observe_r1.grading import grade, start_checker
from observe_r1.text import GRAMMARS, parse_response

LONGEST_SECONDS = 2.0
NAMES = tuple(GRAMMARS)


def assert_none_is_right(count: int, seed: int) -> Counter[str]:
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


@pytest.mark.parametrize("question", (*QUESTIONS, SYMBOLIC), ids=lambda question: question.kind)
def test_the_honest_answer_to_each_attacked_question_is_right(question: Question) -> None:
    gold = question.gold.split("±")[0]
    found = grade(
        f"<think>so</think><answer>{gold}</answer>",
        question.gold,
        kind=question.kind,  # type: ignore[arg-type]
        options=question.options or None,
    )
    assert found.correct, found


def test_twenty_thousand_hostile_completions_are_never_right() -> None:
    seen = assert_none_is_right(20_000, seed=1)
    assert sum(seen.values()) == 20_000


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(10, 20))
def test_a_million_hostile_completions_are_never_right(seed: int) -> None:
    start = time.perf_counter()
    seen = assert_none_is_right(100_000, seed)
    assert sum(seen.values()) == 100_000
    print(f"\nseed {seed}: {sum(seen.values()):,} graded in {time.perf_counter() - start:.0f} s")
