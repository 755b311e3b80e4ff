"""Benchmarks whose own scoring asks a language model, through the command line."""

import base64
import io
import json
from pathlib import Path

import pytest
from judge_server import Models, models
from PIL import Image

from observe_r1.cli.main import call

NOT_OFFICIAL = "rule extraction, not official"
SPEAKS = "Looking at the ruler I say 12.4 in all, though 13 was near."
"""An answer that no rule finds and every reader sees."""


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (28, 28), "red").save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def mathvista(folder: Path, golds: tuple[str, ...] = ("12.4", "12.4", "13.0")) -> Path:
    path = folder / "testmini.jsonl"
    rows = [
        {
            "pid": str(number), "question": f"How long is number {number}?", "image": picture(),
            "choices": None, "unit": None, "precision": 1.0, "answer": gold, "answer_type": "float",
            "question_type": "free_form", "metadata": {"task": "geometry"},
        }
        for number, gold in enumerate(golds)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluate(server: Models, source: Path, out: Path, *more: str, name: str = "mathvista") -> int:
    return call(
        ["eval", "policy", "--endpoint", server.url, "--benchmark", name, "--source", str(source),
         "--samples", "1", "--no-greedy", "--out", str(out), *more, "--json"]
    )  # fmt: skip


def official(out: Path, name: str = "mathvista") -> dict:
    return json.loads((out / "eval" / name / "official.json").read_text())


def test_without_a_judge_the_number_is_called_rule_extraction(tmp_path, capsys):
    with models(SPEAKS) as server:
        assert evaluate(server, mathvista(tmp_path), tmp_path / "out") == 0
        assert server.asked_judge == []
    found = official(tmp_path / "out")
    assert found["rule"].startswith(NOT_OFFICIAL)
    assert (found["figure"], found["judge"]) == (0.0, None)
    printed = capsys.readouterr().out
    assert NOT_OFFICIAL in printed and "--judge URL" in printed


def test_a_judge_reads_the_answers_and_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("A_JUDGES_KEY", "secret")
    with models(SPEAKS) as server:
        more = ["--judge", server.url, "--judge-model", "judge-1"]
        more += ["--judge-key-variable", "A_JUDGES_KEY"]
        assert evaluate(server, mathvista(tmp_path), tmp_path / "out", *more) == 0
        assert len(server.asked_policy) == len(server.asked_judge) == 3
        assert server.keys == {"Bearer secret"}
    found = official(tmp_path / "out")
    assert found["rule"] == "official rule with a judge"
    assert found["figure"] == pytest.approx(2 / 3)
    assert found["judge"] == {"model": "judge-1", "unclear": 0}
    out = capsys.readouterr().out
    assert "official rule with a judge, judge-1" in out
    assert json.loads(out.splitlines()[-1])["official"]["mathvista"] == found
    assert "secret" not in out


def test_a_judge_that_fails_costs_no_answer_and_no_verdict(tmp_path, capsys):
    out, source = tmp_path / "out", mathvista(tmp_path)
    with models(SPEAKS) as server:
        judged = ["--judge", server.url, "--judge-model", "judge-1"]
        server.judge_is_down = True
        assert evaluate(server, source, out, *judged) == 2
        message = capsys.readouterr().err
        assert "the judge failed" in message and "the same command goes on" in message
        server.judge_is_down, num_asked = False, len(server.asked_policy)
        assert evaluate(server, source, out, *judged) == 0
        assert len(server.asked_policy) == num_asked  # answers are kept …
        asked = len(server.asked_judge)
        assert evaluate(server, source, out, *judged) == 0
        assert len(server.asked_judge) == asked  # … and verdicts too
    assert official(out)["figure"] == pytest.approx(2 / 3)


def test_a_judge_that_is_not_needed_is_not_asked(tmp_path, capsys):
    source = tmp_path / "testmini.jsonl"
    row = {"id": "6", "question": "Which?", "options": ["A", "B"], "image": picture(),
           "answer": "B", "level": 3, "subject": "logic"}  # fmt: skip
    source.write_text(json.dumps(row) + "\n")
    with models("<answer>B</answer>") as server:
        more = ["--judge", server.url, "--judge-model", "judge-1"]
        assert evaluate(server, source, tmp_path / "out", *more, name="mathvision") == 0
        assert server.asked_judge == []
    assert "--judge is not needed" in capsys.readouterr().err
    assert official(tmp_path / "out", "mathvision")["figure"] == 1.0


def test_a_judge_for_data_of_ones_own_is_refused(tmp_path, capsys):
    with models(SPEAKS) as server:
        status = call(
            ["eval", "policy", "--endpoint", server.url, "--data", "puzzles", "--limit", "2",
             "--judge", server.url, "--out", str(tmp_path / "out")]
        )  # fmt: skip
    assert status == 2
    assert "marked by rule" in capsys.readouterr().err
