"""Comparing runs: the pairs, the intervals, and what is refused."""

import json
from pathlib import Path

import pytest

from observe_r1.errors import RunError
from observe_r1.report.compare import compare_runs
from observe_r1.report.compare_page import overlay_curves, table_rows, write_comparison
from observe_r1.report.pages import embedded_json


def make_run(folder: Path, correct: dict[str, list[bool]], accuracy: float = 0.5) -> Path:
    (folder / "eval" / "after").mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"recipe": "grpo", "stages": [{"type": "rl", "seed": 1}]})
    )
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": s, "accuracy": accuracy}) + "\n" for s in (1, 2))
    )
    rows = [
        {"sample_id": name, "index": i, "text": f"<answer>{i}</answer>", "answer": str(i), "correct": right}
        for name, answers in correct.items() for i, right in enumerate(answers)
    ]  # fmt: skip
    (folder / "eval" / "after" / "predictions.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in rows)
    )
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    first = make_run(
        tmp_path / "one",
        {"a": [True, True], "b": [False, True], "c": [True, False], "only": [True, True]},
    )
    second = make_run(
        tmp_path / "two",
        {"a": [True, True], "b": [True, True], "c": [False, False], "else": [False, False]},
        0.7,
    )
    return [first, second]


def test_only_questions_that_both_answered_are_compared(pair: list[Path]) -> None:
    (row,) = compare_runs(pair).differences
    assert (row.on, row.run, row.questions) == ("eval after", "B", 3)
    assert (row.won, row.lost) == (1, 1)
    # a: 1 and 1; b: 1/2 and 1; c: 1/2 and 0
    assert row.first == pytest.approx(2 / 3)
    assert row.second == pytest.approx(2 / 3)
    assert row.value == pytest.approx(0)
    assert row.low < 0 < row.high
    assert not row.clear


def test_both_answers_of_won_and_lost_questions_are_kept(pair: list[Path]) -> None:
    found = {p["sample"]: p for p in compare_runs(pair).pairs}
    assert found.keys() == {"b", "c"}
    assert found["b"]["change"] == 0.5
    first, second = found["b"]["sides"]
    # The side that lost shows a wrong answer of its own, the side that won a right one.
    assert (first["correct"], first["text"]) == (False, "<answer>0</answer>")
    assert second["correct"]
    assert [side["correct"] for side in found["c"]["sides"]] == [True, False]


def test_the_difference_of_equal_runs_is_exactly_zero(good_run: Path) -> None:
    for row in compare_runs([good_run, good_run]).differences:
        assert (row.value, row.low, row.high, row.won, row.lost) == (0, 0, 0, 0, 0)


def test_a_large_difference_is_clear(tmp_path: Path) -> None:
    names = [f"q{n}" for n in range(60)]
    first = make_run(
        tmp_path / "one", {n: [False, place % 3 == 0] for place, n in enumerate(names)}
    )
    second = make_run(
        tmp_path / "two", {n: [True, place % 3 == 1] for place, n in enumerate(names)}
    )
    (row,) = compare_runs([first, second]).differences
    assert row.value == pytest.approx(0.5)
    assert row.clear
    assert 0.3 < row.low < 0.5 < row.high < 0.7


def test_training_is_compared_on_questions_that_both_asked(good_run: Path, own_run: Path) -> None:
    found = {row.on: row for row in compare_runs([good_run, own_run]).differences}
    assert found["last fifth of training"].questions > 0


def test_one_run_is_refused(good_run: Path) -> None:
    with pytest.raises(RunError, match="Name two or more"):
        compare_runs([good_run])


def test_runs_without_common_questions_are_said(tmp_path: Path) -> None:
    first, second = (
        make_run(tmp_path / "one", {"a": [True]}),
        make_run(tmp_path / "two", {"b": [True]}),
    )
    assert compare_runs([first, second]).differences == ()


def test_one_id_for_two_questions_is_left_out_and_said(pair: list[Path]) -> None:
    for folder, answer in zip(pair, ("3", "4"), strict=True):
        rows = [
            {"sample_id": "a", "question": "same", "answer": "1"},
            {"sample_id": "b", "question": "?", "answer": answer},
        ]
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    comparison = compare_runs(pair)
    assert comparison.differences[0].questions == 2
    assert any(problem.endswith("in A and B are left out: 1.") for problem in comparison.problems)


def test_what_makes_a_comparison_doubtful_is_said(pair: list[Path]) -> None:
    (pair[1] / "config.json").write_text(
        json.dumps({"recipe": "dapo", "model": "other", "data": "x"})
    )
    problems = compare_runs(pair).problems
    assert any("different models" in problem for problem in problems)
    assert any("Each run is one seed" in problem for problem in problems)


def test_evaluations_that_were_asked_otherwise_are_said(pair: list[Path]) -> None:
    for run, new_tokens, seed in zip(pair, (120, 512), ("0", 0), strict=True):
        sampling = {"temperature": 1.0, "max_new_tokens": new_tokens, "own": run.name}
        asked = {"sampling": sampling, "seed": seed, "grammar": run.name, "samples": 2}
        (run / "eval" / "after" / "config.json").write_text(json.dumps(asked))
    (said,) = (line for line in compare_runs(pair).problems if "asked otherwise" in line)
    assert "in A than in B: max_new_tokens 120 and 512. " in said  # the grammar is the method's


def test_curves_lie_over_each_other(pair: list[Path]) -> None:
    (panel,) = overlay_curves(compare_runs(pair).runs)
    assert panel["steps"] == [1, 2]
    assert panel["series"] == [
        {"name": "A one", "values": [0.5, 0.5]},
        {"name": "B two", "values": [0.7, 0.7]},
    ]


def test_the_page_and_the_table_say_the_same(pair: list[Path], tmp_path: Path) -> None:
    comparison = compare_runs(pair)
    page = write_comparison(comparison, tmp_path / "page.html").read_text(encoding="utf-8")
    data = embedded_json(page, "data-payload")
    assert data["kind"] == "compare"
    assert data["differences"][0]["questions"] == 3
    (row,) = table_rows(comparison)
    assert row[:3] == ("eval after", "B", "3")
    difference = data["differences"][0]
    assert row[3] == f"{100 * difference['first']:.1f} → {100 * difference['second']:.1f}"
    assert row[5] == f"{difference['won']}, {difference['lost']}"


def test_a_hostile_run_can_be_compared(hostile_run: Path, good_run: Path, tmp_path: Path) -> None:
    comparison = compare_runs([hostile_run, good_run, hostile_run])
    page = write_comparison(comparison, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
