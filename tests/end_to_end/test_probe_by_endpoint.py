"""``data probe`` through a server, as a user calls it: refused questions, and a source that changes."""

import json
from pathlib import Path

import pytest
from judge_server import models

from observe_r1.cli.main import call

ANSWER = "<observe>dots</observe><think>so</think><answer>2</answer>"


def import_questions(folder: Path, questions: list[str]) -> None:
    rows = [{"question": question, "answer": "2"} for question in questions]
    source = folder.with_suffix(".jsonl")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["data", "import", str(source), "--as", "table", "--out", str(folder), "--force"]
    assert call(arguments) == 0


def test_refused_questions_are_named_and_changed_ones_are_not_given_old_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = [f"How many dots are in picture {name}?" for name in "abcdefgh"]
    folder = tmp_path / "dots"
    import_questions(folder, questions)
    with models(ANSWER) as server:
        server.refuses = "picture c"
        probe = ["data", "probe", str(folder), "--endpoint", server.url, "--model", "policy",
                 "--rollouts", "2", "--no-direct", "--json"]  # fmt: skip
        for _ in range(2):
            assert call(probe) == 0
            printed = capsys.readouterr().out
            result = json.loads(printed.splitlines()[-1])
            assert (result["probed"], result["refused"], result["failed"]) == (7, 1, 0)
        assert len(server.asked_policy) == 16, "the second time nothing is asked"
        import_questions(folder, [questions[1], questions[0], *questions[2:]])
        assert call(probe) == 2
        assert "2 of 7 probed questions" in capsys.readouterr().err
        assert call(["data", "ladder", str(folder), "--out", str(tmp_path / "ladder")]) == 2
        assert "2 of 7 probed questions" in capsys.readouterr().err
        assert len(server.asked_policy) == 16
        import_questions(folder, [*questions, "How many dots are in the last picture?"])
        assert call(probe) == 0
        assert len(server.asked_policy) == 18


def test_a_server_that_refuses_all_questions_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dots"
    import_questions(folder, ["How many dots?", "How many more dots?"])
    with models(ANSWER) as server:
        server.refuses = "dots"
        probe = ["data", "probe", str(folder), "--endpoint", server.url, "--model", "policy"]
        assert call(probe) == 2
    message = capsys.readouterr().err
    assert "the server refused 2 questions" in message and "against our rules" in message
