"""Rollouts drawn ahead: how old they are, what is refused, and that a resumed run has no trace."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from test_resume import SAMPLES, assert_equal_runs, forget_step_4, rows, stage

import fakes
from observe_r1.data.store import read_samples, write_samples
from observe_r1.errors import EngineError
from observe_r1.stages.rl import find_samples, run_rl
from observe_r1.train.ahead import Ahead, reject_stale
from observe_r1.train.draw import Draw


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fakes.save_tiny(tmp_path_factory.mktemp("model"))


def group(number: int = 0, version: int = 0):
    found = fakes.weighted_group((1.0, 0.0), ((20, 30), (40,)), number=number)
    rollout = replace(found.scored.rollout, policy_version=version, step=number, prompt_ids=(7, 8))
    return replace(found, scored=replace(found.scored, rollout=rollout))


class Drawer:
    """Draws one group a step, by weights that have seen as many updates as were trained."""

    def __init__(self) -> None:
        self.trained = 0
        self.order: list[str] = []

    def __call__(self, step: int) -> Draw:
        self.order.append(f"draw {step}")
        return Draw(weighted_P=[group(step, self.trained)], rounds=1)

    def train(self, ahead: Ahead, steps: range) -> list[int]:
        """Ages of what each step trained on."""
        ages = []
        for step in steps:
            (found,) = ahead.take(step, self).weighted_P
            assert found.scored.rollout.step == step
            ages.append(step - 1 - found.scored.rollout.policy_version)
            self.order.append(f"train {step}")
            ahead.wait()
            self.trained += 1
        return ages


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("staleness", "ages"), [(0, [0, 0, 0, 0, 0]), (1, [0, 1, 1, 1, 1]), (3, [0, 1, 2, 3, 3])]
)
def test_every_step_trains_on_its_own_draw_and_none_is_older_than_said(staleness, ages, beside):
    drawer = Drawer()
    assert drawer.train(Ahead(staleness, 5, beside=beside), range(1, 6)) == ages
    drawn = [entry for entry in drawer.order if entry.startswith("draw")]
    assert drawn == [f"draw {step}" for step in range(1, 6)]


def test_a_sampler_of_its_own_draws_the_next_step_while_this_one_trains():
    is_training = threading.Event()

    def draw(step: int) -> Draw:
        if step > 1:  # answers only once the first step trains: drawn at once, it never would
            assert is_training.wait(30)
        return Draw([group(step)], 1)

    ahead = Ahead(1, 2, beside=True)
    ahead.take(1, draw)
    is_training.set()
    ahead.wait()
    assert [draw["step"] for draw in ahead.state_dict()] == [2]


def test_an_error_of_a_draw_beside_an_update_is_raised_before_weights_are_handed_over():
    def draw(step: int) -> Draw:
        if step > 1:
            raise EngineError("the server is gone")
        return Draw([group(step)], 1)

    ahead = Ahead(1, 2, beside=True)
    ahead.take(1, draw)
    with pytest.raises(EngineError, match="gone"):
        ahead.wait()


def test_one_step_behind_draws_the_next_before_it_trains_and_none_beyond_the_end():
    drawer = Drawer()
    drawer.train(Ahead(1, 3), range(1, 4))
    assert drawer.order == ["draw 1", "draw 2", "train 1", "draw 3", "train 2", "train 3"]


def test_groups_older_than_the_bound_are_recorded_and_not_trained_on():
    old, fresh = group(1, version=3), group(2, version=5)
    rejected, kept = reject_stale([old, fresh], version=6, bound=1)
    assert (rejected.admitted, rejected.has_signal) == (False, False)
    assert kept == fresh


def test_an_engine_that_answers_late_is_held_to_the_bound():
    late = Ahead(staleness=1, last_step=10).take(9, lambda step: Draw([group(step, version=6)], 1))
    assert [g.admitted for g in late.weighted_P] == [False]


def test_what_waits_survives_being_written_down():
    ahead, drawer = Ahead(2, 10), Drawer()
    drawer.train(ahead, range(1, 4))
    written = json.loads(json.dumps(ahead.state_dict()))
    assert [draw["step"] for draw in written] == [4, 5]
    restored = Ahead(2, 10)
    samples = {f"sample-{n}": fakes.sample(n) for n in range(10)}
    restored.load_state_dict(written, lambda ids: {i: samples[i] for i in ids})
    assert [restored.take(n, drawer).weighted_P for n in (4, 5)] == [
        ahead.take(n, drawer).weighted_P for n in (4, 5)
    ]


def test_a_stale_run_is_killed_and_resumed_without_a_trace(model: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = stage(4, staleness=2)
    run_rl(settings, model=model, samples=SAMPLES, run=whole)
    shutil.copytree(whole, killed, symlinks=True)
    forget_step_4(killed)  # steps 3 and 4 had been drawn already
    run_rl(settings, model=model, samples=SAMPLES, run=killed, resume=True)
    assert_equal_runs(whole, killed)
    assert [row["staleness"] for row in rows(whole, "metrics.jsonl")] == [0, 1, 2, 2]


def test_stale_rollouts_change_what_is_learnt_and_fresh_ones_do_not(model, tmp_path):
    found = {}
    for name, staleness in (("fresh", 0), ("stale", 1)):
        run_rl(stage(3, staleness=staleness), model=model, samples=SAMPLES, run=tmp_path / name)
        found[name] = [row["loss"] for row in rows(tmp_path / name, "metrics.jsonl")]
    assert found["fresh"][0] == found["stale"][0]
    assert found["fresh"][1:] != found["stale"][1:]


def test_samples_are_found_again_by_their_ids(tmp_path):
    samples = [fakes.sample(n) for n in range(6)]
    write_samples(tmp_path, samples)
    for source in (samples, read_samples(tmp_path)):
        found = find_samples(source, ["sample-4", "sample-1", "sample-4"])
        assert sorted(found) == ["sample-1", "sample-4"]
        assert found["sample-4"].images == samples[4].images
    assert find_samples(samples, []) == {}
