"""Experiments over processes: killed, gone on with, shared between commands, always the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_experiment import experiment

from fakes import byte_processor, tiny_model
from observe_r1.experiments.running import collect, write_results

HERE = Path(__file__).parent
NUM_TRIALS = 4
ON_THE_CLOCK = ("seconds",)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    byte_processor().save_pretrained(folder)
    return str(folder)


def start(model: str, out: Path, jobs: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "small_experiment.py"), model, str(out), str(jobs)],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> list[str]:
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    return printed.split("\n")[:-1]


def members(group: int) -> list[int]:
    """Processes of a session that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def readouts(model: str, out: Path) -> dict:
    found = collect(experiment(model), out)
    return {
        arm: {s: {n: v for n, v in r.items() if n not in ON_THE_CLOCK} for s, r in seeds.items()}
        for arm, seeds in found.items()
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_killed_experiment_goes_on_and_ends_as_one_that_was_not(model, tmp_path):
    steady = finish(start(model, tmp_path / "steady", jobs=1))
    assert len(steady) == NUM_TRIALS

    victim = start(model, tmp_path / "killed", jobs=2)
    assert victim.stdout is not None
    first = victim.stdout.readline()  # one of the first two trials is done, others are on their way
    assert first.split()[0] in ("full", "grpo")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    deadline = time.monotonic() + 60
    while members(victim.pid):  # workers must not train on for nobody
        assert time.monotonic() < deadline, members(victim.pid)
        time.sleep(0.2)
    done = [path.parts[-3:-1] for path in (tmp_path / "killed").glob("trials/*/*/result.json")]
    assert 1 <= len(done) < NUM_TRIALS

    again = finish(start(model, tmp_path / "killed", jobs=2))
    assert len(again) == NUM_TRIALS - len(done)  # what was done is not done again
    assert readouts(model, tmp_path / "killed") == readouts(model, tmp_path / "steady")

    path = write_results(
        experiment(model), collect(experiment(model), tmp_path / "killed"), tmp_path / "results",
        quick=False, jobs=2, trials=tmp_path / "killed",
    )  # fmt: skip
    result = json.loads(path.read_text())
    assert result["trials"]["full"]["0"]["on_gpu"] == float(torch.cuda.is_available())
    assert result["start"].keys() == {"full", "grpo"}
    assert [len(seeds) for seeds in result["curves"].values()] == [2, 2]
    page = path.with_suffix(".md").read_text()
    assert "## Budgets and costs" in page and "2 at a time" in page


@pytest.mark.slow
def test_two_commands_in_one_folder_share_the_trials(model, tmp_path):
    both = [start(model, tmp_path / "shared", jobs=1) for _ in range(2)]
    printed = [line for process in both for line in finish(process)]
    assert len(set(printed)) == NUM_TRIALS
    shares = readouts(model, tmp_path / "shared")
    assert {arm: set(seeds) for arm, seeds in shares.items()} == {"full": {0, 1}, "grpo": {0, 1}}
