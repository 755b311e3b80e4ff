"""Each finding is made by a run that has the illness, and by no healthy one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from observe_r1.report.findings import Evidence, Finding, examine
from observe_r1.report.index import open_index
from observe_r1.report.ladder import question_column
from observe_r1.report.run import open_run
from observe_r1.report.texts import read_parts, repeated_share

STEPS = 20


def findings_of(folder: Path) -> list[Finding]:
    run = open_run(folder)
    index = open_index(run.rollouts)
    golds = {question.id: question.answer for question in run.questions.values()}
    parts = read_parts(run.rollouts, index, golds)
    rungs = question_column(run, index, "rung")
    return list(examine(Evidence(run=run, index=index, rungs=rungs, parts=parts)).findings)


def titles(folder: Path) -> set[str]:
    return {finding.title for finding in findings_of(folder)}


def write_metrics(folder: Path, row: Callable[[float], dict]) -> None:
    lines = [
        json.dumps({"step": step, **row((step - 1) / (STEPS - 1))}) for step in range(1, STEPS + 1)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def write_rollouts(folder: Path, text: Callable[[int, int], str], correct: bool = True) -> None:
    """Twelve questions on four rungs, each asked at every step."""
    questions = [{"sample_id": f"s{n}", "answer": str(n), "rung": n % 4} for n in range(12)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    rows = [
        {"step": step, "group": n, "index": i, "sample_id": f"s{n}", "text": text(step, n), "num_tokens": 10,
         "correct": correct and (n % 4 != 3 or step < 8) and i == 0, "truncated": not correct, "reward": 1.0}
        for step in range(1, STEPS + 1) for n in range(12) for i in range(2)
    ]  # fmt: skip
    (folder / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("It learns", lambda t: {"accuracy": 0.2 + 0.5 * t}),
        ("Accuracy falls", lambda t: {"accuracy": 0.7 - 0.5 * t}),
        ("Accuracy stays where it is", lambda t: {"accuracy": 0.4}),
        ("Reward rises without accuracy", lambda t: {"accuracy": 0.5 - 0.2 * t, "reward": 0.5 + t}),
        ("The format reward is saturated", lambda t: {"rewards/format": min(0.5, 0.2 + t)}),
        ("The overlap reward is never earned", lambda t: {"rewards/overlap": 0.0}),
        ("Most groups carry no signal", lambda t: {"groups/zero_weight": 0.3 + 0.6 * t}),
        ("Length collapsed", lambda t: {"length": 200 - 180 * t, "accuracy": 0.5}),
        ("Completions grow", lambda t: {"length": 50 + 300 * t}),
        ("Entropy collapsed", lambda t: {"entropy": 1.0 - 0.99 * t}),
        ("Sampler and trainer disagree", lambda t: {"mismatch/kl": 0.05}),
        ("Steps were skipped", lambda t: {"skipped_steps": round(3 * t)}),
        ("Numbers that are not finite", lambda t: {"loss": float("nan") if t > 0.5 else 0.1}),
    ],
)
def test_an_illness_in_the_metrics_is_named(
    tmp_path: Path, title: str, row: Callable[[float], dict]
) -> None:
    write_metrics(tmp_path, row)
    assert title in titles(tmp_path)


def test_collapse_of_length_is_graver_when_accuracy_falls_with_it(tmp_path: Path) -> None:
    write_metrics(tmp_path, lambda t: {"length": 200 - 180 * t, "accuracy": 0.6 - 0.4 * t})
    (finding,) = (f for f in findings_of(tmp_path) if f.title == "Length collapsed")
    assert finding.tone == "serious"
    assert "from 186 to 34 tokens" in finding.text


def test_a_falling_accuracy_is_no_alarm_on_a_ladder(tmp_path: Path) -> None:
    stage = {"type": "rl", "curriculum": {"type": "ladder"}}
    (tmp_path / "config.json").write_text(json.dumps({"stages": [stage]}))
    write_metrics(tmp_path, lambda t: {"accuracy": 0.7 - 0.5 * t})
    assert titles(tmp_path) == {"Training accuracy on a ladder"}


def asked_twice(folder: Path, right: Callable[[int, int], bool]) -> None:
    """Thirty questions, each asked at two steps; what is right depends on step and question."""
    rows = [
        {"step": step, "group": n, "index": i, "sample_id": f"s{n}", "text": str(i), "num_tokens": 9, "correct": right(step, n)}
        for step in (1, 2) for n in range(30) for i in range(2)
    ]  # fmt: skip
    (folder / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("title", "right"),
    [
        ("The same questions go better", lambda step, n: n < 10 * step),
        ("The same questions go worse", lambda step, n: n > 10 * step),
        ("The same questions go as before", lambda step, n: n % 2 == 0),
    ],
)
def test_questions_asked_again_are_compared_with_themselves(
    tmp_path: Path, title: str, right: Callable[[int, int], bool]
) -> None:
    asked_twice(tmp_path, right)
    assert title in titles(tmp_path)


def test_the_same_questions_stand_for_a_ladder_whose_accuracy_falls(tmp_path: Path) -> None:
    test_a_falling_accuracy_is_no_alarm_on_a_ladder(tmp_path)
    asked_twice(tmp_path, lambda step, n: n < 10 * step)
    (finding,) = findings_of(tmp_path)
    assert finding.tone == "good"
    assert "33 % of their completions were right the first time, 67 % the last" in finding.text
    assert "(+33.3 points, 95 % interval +" in finding.text


def test_what_was_looked_at_in_vain_is_said(good_run: Path) -> None:
    from observe_r1.report.payload import build_payload

    run = open_run(good_run)
    payload = build_payload(run, open_index(run.rollouts))
    assert {"entropy", "repetition", "skipped steps"} <= set(payload["silent"])


def test_a_rung_on_which_everything_is_wrong_is_named(tmp_path: Path) -> None:
    write_rollouts(tmp_path, lambda step, n: f"<answer>{n}</answer>")
    (finding,) = (f for f in findings_of(tmp_path) if f.title == "Rungs where everything is wrong")
    assert "on rung 3 was right" in finding.text


def test_one_answer_everywhere_is_named(tmp_path: Path) -> None:
    write_rollouts(tmp_path, lambda step, n: f"<answer>{n if step < 10 else 7}</answer>")
    (finding,) = (f for f in findings_of(tmp_path) if f.title == "One answer everywhere")
    assert "“7” is given in 100 % of the latest completions" in finding.text


def test_repetition_is_named(tmp_path: Path) -> None:
    again = "let me check this once more again "
    write_rollouts(
        tmp_path,
        lambda step, n: (
            again * 20 if step > 10 else f"{step} {n} all words here differ from each other"
        ),
    )
    assert "Completions repeat themselves" in titles(tmp_path)


def test_empty_and_cut_off_completions_are_named(tmp_path: Path) -> None:
    write_rollouts(tmp_path, lambda step, n: "", correct=False)
    assert {"Empty completions", "Many completions are cut off"} <= titles(tmp_path)


def test_a_healthy_run_has_no_warning(good_run: Path) -> None:
    assert [f.title for f in findings_of(good_run) if f.tone in ("serious", "warning")] == []


def test_share_of_repeated_runs_of_words() -> None:
    assert repeated_share("let me check this again now " * 10) == 1.0
    assert repeated_share("one two three four five six seven eight nine ten") == 0.0
    assert repeated_share("") == 0.0
