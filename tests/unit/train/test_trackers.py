"""Trackers by name: what is not installed is refused before anything, what is gets every metric."""

import importlib.util
import os
from pathlib import Path

import pytest

from observe_r1.config.run import Tracking
from observe_r1.errors import ConfigError
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import detect_machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.stages.pipeline import run_recipe
from observe_r1.train.trackers import PROJECT, Trackers

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
        Trackers(["wandb"], tmp_path, {})
    with Trackers([], tmp_path, {}) as trackers:
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
    )  # fmt: skip
    choice = Choice(model="tiny", data="puzzles", overrides=changes)
    run = resolve(load_recipe("observe_r1"), choice, detect_machine(), lambda percent: 20.0)
    # A launcher's wish for DeepSpeed is settled before a tracker asks Accelerate for the processes.
    monkeypatch.setattr(os, "environ", os.environ | {"ACCELERATE_USE_DEEPSPEED": "true"})
    run_recipe(run, tmp_path / "run")
    assert os.environ["ACCELERATE_USE_DEEPSPEED"] == "false"
    events = EventAccumulator(str(tmp_path / "run" / PROJECT)).Reload()
    assert {"rl/accuracy", "rl/loss", "rl/timing/step"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("rl/accuracy")] == [1, 2]
