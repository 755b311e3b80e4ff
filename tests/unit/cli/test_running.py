"""What a log file sees of a training run."""

import math

import pytest

from observe_r1.cli import running
from observe_r1.cli.main import call


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [(math.inf, [1, 10, 12]), (-1.0, list(range(1, 13)))],
)
def test_a_log_has_a_line_every_ten_steps_and_never_waits_long_for_one(
    monkeypatch, capsys, seconds, steps
):
    monkeypatch.setattr(running, "PLAIN_SECONDS", seconds)
    line = running.StepLine(lambda done=1, note="": None)
    for step in range(1, 13):
        line("rl", step, 12, {"accuracy": 0.5, "length": 60.0})
    printed = capsys.readouterr().err.splitlines()
    assert printed == [f"rl step {step}/12: right 50%, 60 tokens" for step in steps]


def test_an_experiment_is_not_started_by_a_launcher(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert call(["reproduce", "ton", "--quick", "--out", str(tmp_path / "out")]) == 2
    assert "CUDA_VISIBLE_DEVICES" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
