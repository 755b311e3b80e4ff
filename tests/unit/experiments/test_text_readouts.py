import pytest

from observe_r1.experiments.readouts import generalization
from observe_r1.experiments.text_readouts import is_empty, read_texts, thought_drift
from observe_r1.types import Sample

EMPTY = "<think>\n\n</think>\n<answer>3</answer>"
FULL = "<think>1 + 2 = 3</think>\n<answer>3</answer>"
LOOP = "<think>So 3. Wait, 3. Hmm, 3.</think>\n<answer>3</answer>"


def question(number: int, level: int) -> Sample:
    return Sample(
        id=f"q{number}", question="?", answer="3", kind="number", metadata={"puzzle_level": level}
    )


def row(number: int, text: str, correct: bool = True, num_tokens: int = 10) -> dict:
    return {"sample_id": f"q{number}", "text": text, "correct": correct, "num_tokens": num_tokens}


def test_empty_thoughts():
    assert (is_empty(EMPTY), is_empty(FULL), is_empty("<answer>3</answer>")) == (True, False, None)
    questions = [question(0, 0), question(1, 4)]
    rows = [row(0, EMPTY), row(0, EMPTY), row(1, EMPTY), row(1, FULL)]
    found = read_texts(questions, rows)
    assert found["empty_thought"] == 0.75
    assert (found["empty_thought/easy"], found["empty_thought/hard"]) == (1.0, 0.5)
    assert found["empty_thought/gap"] == 0.5
    assert "empty_thought" not in read_texts(questions, [row(0, "<answer>3</answer>")])


def test_how_empty_thoughts_grow():
    rollouts = [{"text": FULL}] * 10 + [{"text": FULL}] * 80 + [{"text": EMPTY}] * 10
    assert thought_drift(rollouts) == {"empty_thought/rise": 1.0}
    assert thought_drift(rollouts[:5]) == {}


def test_words_of_reflection_and_what_goes_with_them():
    rows = [row(0, LOOP, True), row(0, LOOP, False), row(0, FULL, True), row(0, FULL, True)]
    found = read_texts([question(0, 0)], rows)
    assert found["reflective"] == 0.5
    assert found["reflective/gain"] == pytest.approx(0.5 - 1.0)
    assert found["looping"] == 1.0  # of the wrong answers
    assert "reflective/gain" not in read_texts([question(0, 0)], [row(0, FULL)])


def test_stated_difficulty():
    easy = "<difficulty>easy, think quickly</difficulty>" + FULL
    hard = "<difficulty>hard, think thoroughly</difficulty>" + FULL
    questions = [question(0, 1), question(1, 2)]
    rows = [row(0, easy), row(0, hard), row(1, hard), row(1, FULL)]
    assert read_texts(questions, rows)["difficulty_right"] == 0.5
    assert "difficulty_right" not in read_texts(questions, [row(0, FULL)])


def test_are_the_shorter_answers_better():
    rows = [row(0, FULL, True, 5), row(0, FULL, False, 20), row(0, FULL, True, 7),
            row(0, FULL, False, 30), row(1, FULL, True, 9)]  # fmt: skip
    assert read_texts([question(0, 0), question(1, 0)], rows)["short_half_gain"] == 1.0


def test_the_generalization_factor_by_hand():
    numbers = {"id/format": 0.98, "ood_a/format": 0.6, "ood_b/format": 0.78, "ood_a/accuracy": 0.1}
    found = generalization(numbers)
    assert found["ood_format"] == pytest.approx(0.69)
    assert found["gf"] == pytest.approx(5 * 0.98 * 0.69 / (4 * 0.98 + 0.69))
    assert generalization({"id/format": 0.98}) == {}
