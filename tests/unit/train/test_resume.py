"""A run that is stopped and resumed leaves no trace. Users train on this: changing it is a decision."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[2]))

import fakes
from observe_r1.config.stages import RLStage
from observe_r1.errors import RunError
from observe_r1.records import read_rows
from observe_r1.stages.rl import run_rl
from observe_r1.train.metric_table import is_reproducible
from observe_r1.train.state import latest_checkpoint

SAMPLES = [fakes.sample(number, images=number % 3) for number in range(7)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fakes.save_tiny(tmp_path_factory.mktemp("model"))


def stage(max_steps: int, **changes: Any) -> RLStage:
    reward = Path(__file__).with_name("vowel_reward.py")
    values: dict[str, Any] = {
        "prompts_per_step": 2, "group_size": 3, "max_steps": max_steps, "save_every": 2,
        "rewards": [{"type": "user", "path": f"{reward}:evenness"}],
        "sampling": {"max_new_tokens": 8}, "system_prompt": "count",
        "optimizer": {"lr": 1e-3, "updates_per_rollout": 2},
    }  # fmt: skip
    return RLStage.build(values | changes, "test")


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if is_reproducible(k)} for row in read_rows(run / name)]


def tensors(run: Path, name: str) -> dict[str, torch.Tensor]:
    folder = latest_checkpoint(run)
    assert folder is not None
    return load_file(folder / name)


def forget_step_4(run: Path) -> None:
    """As if killed after step 2 was saved: the checkpoint of step 4 was never written."""
    shutil.rmtree(run / "checkpoints" / "step-000004")
    link = run / "checkpoints" / "latest"
    link.unlink()
    link.symlink_to("step-000002")


def assert_equal_runs(one: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "rollouts.jsonl", "samples.jsonl"):
        assert rows(one, name) == rows(other, name)
    for name in ("model.safetensors", "training/optimizer.safetensors"):
        mine, theirs = tensors(one, name), tensors(other, name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(model: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_rl(stage(4), model=model, samples=SAMPLES, run=whole)
    run_rl(stage(2), model=model, samples=SAMPLES, run=parts)
    run_rl(stage(4), model=model, samples=SAMPLES, run=parts, resume=True)
    assert_equal_runs(whole, parts)
    assert not list(parts.glob("discarded-*"))
    moved = tensors(whole, "model.safetensors")
    start = load_file(Path(model) / "model.safetensors")
    assert any(not torch.equal(moved[key], start[key]) for key in start)


def test_a_resumed_run_looks_back_to_where_it_started_from(model: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pulled = {"loss": {"type": "clipped", "kl": {"coefficient": 0.5}}}
    run_rl(stage(4, **pulled), model=model, samples=SAMPLES, run=whole)
    run_rl(stage(2, **pulled), model=model, samples=SAMPLES, run=parts)
    run_rl(stage(4, **pulled), model=model, samples=SAMPLES, run=parts, resume=True)
    assert_equal_runs(whole, parts)
    assert rows(whole, "metrics.jsonl")[-1]["kl"] > 0


def test_rows_past_the_checkpoint_are_set_aside_and_never_doubled(
    model: str, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_rl(stage(4), model=model, samples=SAMPLES, run=whole)
    shutil.copytree(whole, killed, symlinks=True)
    forget_step_4(killed)  # and a row is torn
    with open(killed / "rollouts.jsonl", "a") as file:
        file.write('{"step": 4, "torn')
    run_rl(stage(4), model=model, samples=SAMPLES, run=killed, resume=True)
    assert_equal_runs(whole, killed)
    aside = list(read_rows(killed / "discarded-1.jsonl"))
    assert {row["step"] for row in aside if "step" in row} == {3, 4}
    assert {row["file"] for row in aside} >= {"metrics.jsonl", "rollouts.jsonl"}


def test_a_run_killed_before_its_first_checkpoint_starts_over(model: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_rl(stage(2), model=model, samples=SAMPLES, run=whole)
    shutil.copytree(whole, killed, symlinks=True)
    shutil.rmtree(killed / "checkpoints")
    run_rl(stage(2), model=model, samples=SAMPLES, run=killed, resume=True)
    assert_equal_runs(whole, killed)


def test_adapters_resume_to_the_bit(model: str, tmp_path: Path) -> None:
    policy = {"lora": {"rank": 2}}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_rl(stage(2, policy=policy, save_every=1), model=model, samples=SAMPLES, run=whole)
    run_rl(stage(1, policy=policy), model=model, samples=SAMPLES, run=parts)
    run_rl(stage(2, policy=policy), model=model, samples=SAMPLES, run=parts, resume=True)
    one, other = (tensors(run, "adapter_model.safetensors") for run in (whole, parts))
    assert one and all(torch.equal(one[key], other[key]) for key in one)
    assert rows(whole, "rollouts.jsonl") == rows(parts, "rollouts.jsonl")


def test_a_curriculum_that_ends_before_the_steps_do_says_so(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_rl(stage(50), model=model, samples=SAMPLES[:2], run=tmp_path)
    steps = len(rows(tmp_path, "metrics.jsonl"))
    assert steps < 50
    assert f"has come to its end after step {steps} of " in caplog.text


def test_a_folder_with_a_run_is_refused(model: str, tmp_path: Path) -> None:
    run_rl(stage(1), model=model, samples=SAMPLES, run=tmp_path)
    with pytest.raises(RunError, match="already holds a run"):
        run_rl(stage(1), model=model, samples=SAMPLES, run=tmp_path)


def test_a_checkpoint_holds_nothing_pickled(model: str, tmp_path: Path) -> None:
    folder = run_rl(stage(1), model=model, samples=SAMPLES, run=tmp_path)
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".jinja"}
    assert json.loads((folder / "training" / "state.json").read_text())["step"] == 1


def test_only_the_last_checkpoints_are_kept(model: str, tmp_path: Path) -> None:
    limits = {"save_every": 1, "keep_checkpoints": 2}
    run_rl(stage(4, **limits), model=model, samples=SAMPLES, run=tmp_path)
    found = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert found == ["latest", "step-000003", "step-000004"]


def test_the_best_checkpoint_by_held_out_accuracy_stays(model: str, tmp_path: Path) -> None:
    scores = {1: 0.2, 2: 0.6, 3: 0.4, 4: 0.5}
    run_rl(
        stage(4, save_every=1, keep_checkpoints=1, eval_every=1), model=model, samples=SAMPLES,
        run=tmp_path, measure=lambda engine, step: {"eval/accuracy": scores[step]},
    )  # fmt: skip
    best = (tmp_path / "checkpoints" / "best").resolve()
    assert best.name == "step-000002"
    kept = {name for name in ("state.json", "optimizer.safetensors")
            if (best / "training" / name).exists()}  # fmt: skip
    assert kept == {"state.json"}  # weights to use; only the newest is gone on from
    assert [row["eval/accuracy"] for row in rows(tmp_path, "metrics.jsonl")] == [0.2, 0.6, 0.4, 0.5]


# A learning rate that does not know how many steps there will be, and questions without end.
LONG: dict[str, Any] = {
    "save_every": 1, "keep_checkpoints": 2, "curriculum": {"type": "shuffled", "epochs": None},
    "optimizer": {"lr": 1e-3, "updates_per_rollout": 2, "schedule": "constant"},
}  # fmt: skip


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_without_a_trace(model: str, tmp_path: Path) -> None:
    """SIGKILL at a moment that nobody chose, twice; each time at most one step is done again."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for wanted in (2, 4):
        command = [sys.executable, __file__, model, str(killed), str(torch.get_num_threads())]
        process = subprocess.Popen(command)
        while not steps_done(killed) >= wanted:
            assert process.poll() is None, "it has ended by itself"
            time.sleep(0.01)
        process.kill()
        process.wait()
        saved = latest_checkpoint(killed)
        assert saved is not None and steps_done(killed) - int(saved.name[-6:]) <= 1
    last = stage(steps_done(killed) + 2, **LONG)
    run_rl(last, model=model, samples=SAMPLES, run=killed, resume=True)
    run_rl(last, model=model, samples=SAMPLES, run=whole)
    assert_equal_runs(whole, killed)


def steps_done(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":  # the process that is killed
    torch.set_num_threads(int(sys.argv[3]))
    given, there = sys.argv[1], Path(sys.argv[2])
    resumed = (there / "checkpoints").exists()
    run_rl(stage(600, **LONG), model=given, samples=SAMPLES, run=there, resume=resumed)
