"""Trackers by name: what is not installed is refused before anything, what is gets every metric."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from observe_r1.config.run import Tracking
from observe_r1.errors import ConfigError
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import detect_machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.stages.pipeline import run_recipe
from observe_r1.train.trackers import Trackers

has_tensorboard = importlib.util.find_spec("tensorboard") is not None


def test_trackers_are_named_alone_or_in_a_list() -> None:
    assert Tracking.build({"trackers": "tensorboard, wandb"}, "t").trackers == (
        "tensorboard", "wandb",
    )  # fmt: skip
    assert Tracking.build({"trackers": ["trackio"]}, "t").trackers == ("trackio",)
    with pytest.raises(ConfigError, match="trackers"):
        Tracking.build({"trackers": "tensorbord"}, "t")


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install wandb"):
        Trackers(Tracking(trackers=("wandb",)), tmp_path, {})
    with Trackers(Tracking(), tmp_path, {}) as trackers:
        trackers.log("rl", 1, {"accuracy": 1.0})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not has_tensorboard, reason="tensorboard is not installed")
@pytest.mark.filterwarnings("default")  # its warnings are its own
def test_tensorboard_gets_the_metrics_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    changes = (
        "tracking.trackers=tensorboard", "rl.max_steps=2", "rl.prompts_per_step=2",
        "rl.group_size=2", "rl.sampling.max_new_tokens=4", "heldout.data=none",
        "tracking.project=looking",
    )  # fmt: skip
    choice = Choice(model="tiny", data="puzzles", overrides=changes)
    run = resolve(load_recipe("observe_r1"), choice, detect_machine(), lambda percent: 20.0)
    # A launcher's wish for DeepSpeed is settled before a tracker asks Accelerate for the processes.
    monkeypatch.setattr(os, "environ", os.environ | {"ACCELERATE_USE_DEEPSPEED": "true"})
    run_recipe(run, tmp_path / "run")
    assert os.environ["ACCELERATE_USE_DEEPSPEED"] == "false"
    events = EventAccumulator(str(tmp_path / "run" / "looking")).Reload()
    assert {"rl/accuracy", "rl/loss", "rl/timing/step"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("rl/accuracy")] == [1, 2]
    (shown,) = (tmp_path / "run" / "looking").glob("*/hparams.yml")
    assert "rl.group_size: 2\n" in shown.read_text()
    assert "recipe: observe_r1\n" in shown.read_text()


AS_ACCELERATES_OWN = """
from pathlib import Path
from accelerate import tracking
from accelerate.logging import get_logger
from observe_r1.config.run import Tracking
from observe_r1.train.trackers import Trackers

class Own(tracking.GeneralTracker):
    name, requires_logging_directory, main_process_only = "own", False, False
    def __init__(self, project, **told):
        super().__init__()
        print(project, told)
    def start(self):
        get_logger("own").debug("refused where nobody has asked which process this is")
    tracker = property(lambda self: None)
    store_init_configuration = lambda self, values: print(values)
    log = lambda self, values, step=None, **more: print(values, step)

tracking.LOGGER_TYPE_TO_CLASS["tensorboard"] = tracking.LOGGER_TYPE_TO_CLASS["wandb"] = Own
import sys
for kind in ("tensorboard", "wandb", "wandb"):
    told = Tracking(trackers=(kind,), project="looking")
    with Trackers(told, Path(sys.argv[1]), {"rewards": [1, 2]}, steps_before=4) as trackers:
        trackers.log("rl", 1, {"accuracy": 1.0})
"""
"""Accelerate's trackers of wandb and trackio write to its log, which raises in a process that has not
been counted; in a process of its own nothing else has done that before."""


@pytest.mark.skipif(not has_tensorboard, reason="tensorboard is not installed")
def test_trackers_are_opened_in_a_process_that_knows_which_it_is(tmp_path: Path) -> None:
    places = {"PYTHONPATH": str(tmp_path / "found"), "HF_HUB_OFFLINE": "1"}
    (tmp_path / "found" / "wandb").mkdir(parents=True)
    run = tmp_path / "run-a"
    run.mkdir()
    answer = subprocess.run(
        [sys.executable, "-c", AS_ACCELERATES_OWN, str(run)], env=os.environ | places,
        capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == f"looking {{'logging_dir': '{run}'}}"
    assert lines[1:3] == ["{'rewards': '[1, 2]'}", "{'rl/accuracy': 1.0} 5"]
    known = json.loads((run / "trackers.json").read_text())["wandb"]
    assert (
        lines[3] == lines[6] == f"looking {{'name': 'run-a', 'id': '{known}', 'resume': 'allow'}}"
    )
