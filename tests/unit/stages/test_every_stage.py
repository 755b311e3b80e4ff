"""One tiny step of every stage type on the built-in model, and runs of several stages."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from observe_r1.config.run import RunConfig
from observe_r1.data.puzzles import get_family
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.data.store import write_samples
from observe_r1.data.traces import read_traces
from observe_r1.errors import ConfigError, DataError, ModelError, RunError
from observe_r1.records import read_json, read_rows
from observe_r1.stages.models import locate_model
from observe_r1.stages.pipeline import run_recipe

SAMPLING = {"max_new_tokens": 48}
STEP = {"max_steps": 1, "examples_per_step": 2, "save_every": 0}

TEACH = {"type": "teach", "name": "teach"}
SAMPLE = {
    "type": "sample", "name": "explore", "attempts": 2, "sampling": SAMPLING,
    "questions": {"count": 3},
}  # fmt: skip
SFT = {"type": "sft", "name": "cold", **STEP, "sampling": SAMPLING}
DPO = {
    "type": "dpo", "name": "prefer", **STEP, "sft_weight": 1.0,
    "chosen": {"source": "teach"},
    "rejected": {"source": "teach", "transforms": [{"type": "corrupt_format"}]},
}  # fmt: skip
RL = {
    "type": "rl", "name": "rl", "max_steps": 1, "prompts_per_step": 2, "group_size": 2,
    "sampling": SAMPLING, "save_every": 0,
}  # fmt: skip
PARAMS = {"type": "params", "name": "shake", "operations": [{"type": "shrink_perturb"}]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    write_samples(folder, training_stream([get_family("counting")], 11, 6))
    return str(folder)


def config(data: str, *stages: dict[str, Any], **changes: Any) -> RunConfig:
    values = {
        "recipe": "test", "preset": "full", "model": "tiny", "data": data, "stages": stages,
        **changes,
    }  # fmt: skip
    return RunConfig.build(values, "test")


def test_every_stage_after_the_other(data: str, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    run = config(data, TEACH, SAMPLE, SFT, DPO, PARAMS, RL)
    checkpoint = run_recipe(
        run, tmp_path, notify=lambda name, step, total, m: told.append((name, step))
    )
    assert dict(told) == {"teach": 1, "explore": 1, "cold": 1, "prefer": 1, "shake": 1, "rl": 1}
    folders = sorted(p.name for p in tmp_path.iterdir() if p.is_dir())
    assert folders == ["1-teach", "2-explore", "3-cold", "4-prefer", "5-shake", "6-rl"]
    assert checkpoint == tmp_path / "6-rl" / "checkpoints" / "step-000001"
    assert locate_model(str(tmp_path)) == str(checkpoint)
    assert all((tmp_path / folder / "done.json").exists() for folder in folders)
    assert all((tmp_path / folder / "metrics.jsonl").exists() for folder in folders)
    assert (tmp_path / "6-rl" / "rollouts.jsonl").exists()
    traces = read_traces(tmp_path / "1-teach")
    assert len(traces) == 6
    assert all(row.correct and row.origin == "solver" for row in traces.rows)
    check_reports(tmp_path)
    drawn = read_traces(tmp_path / "2-explore")
    assert len(drawn) == 6
    assert all(row.perplexity and row.perplexity >= 1 for row in drawn.rows)


def check_reports(run: Path) -> None:
    """A run of several stages opens at its last one; every other has a page of its own."""
    from observe_r1.report.pages import write_report

    assert "6-rl" in write_report(run).read_text()
    for number, (stage, metric) in enumerate(
        [("teach", "traces/kept"), ("explore", "tokens/generated"), ("cold", "token_accuracy"),
         ("prefer", "preference/margin"), ("shake", "params/moved")], start=1,
    ):  # fmt: skip
        page = write_report(run / f"{number}-{stage}", run / f"{stage}.html")
        assert metric in page.read_text()


@pytest.mark.slow
def test_each_stage_moves_the_weights_of_the_one_before(data: str, tmp_path: Path) -> None:
    run_recipe(config(data, TEACH, SFT, PARAMS), tmp_path)
    start = load_file(Path(__file__).parents[3] / "src/observe_r1/assets/tiny/model.safetensors")
    learnt = weights(tmp_path / "2-cold")
    shaken = weights(tmp_path / "3-shake")
    moved = [name for name in start if not start[name].float().equal(learnt[name].float())]
    assert moved, "one step must move something"
    (row,) = read_rows(tmp_path / "3-shake" / "metrics.jsonl")
    norm = sum(float(t.float().pow(2).sum()) for t in shaken.values()) ** 0.5
    assert row["params/norm_after"] == pytest.approx(norm, rel=1e-3)
    assert row["params/norm_before"] > row["params/norm_after"] > 0


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "checkpoints" / "latest" / "model.safetensors")


def test_a_stopped_run_goes_on_at_the_stage_it_was_in(data: str, tmp_path: Path) -> None:
    run = config(data, TEACH, SFT, RL)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_recipe(run, whole)
    shutil.copytree(whole, stopped, symlinks=True)
    shutil.rmtree(stopped / "3-rl")
    kept = (stopped / "2-cold" / "checkpoints" / "latest" / "model.safetensors").stat().st_mtime_ns
    told: list[str] = []
    run_recipe(run, stopped, resume=True, notify=lambda name, *rest: told.append(name))
    assert told == ["rl"], "what is finished is passed over"
    one, other = weights(whole / "3-rl"), weights(stopped / "3-rl")
    assert all(one[name].equal(other[name]) for name in one)
    now = (stopped / "2-cold" / "checkpoints" / "latest" / "model.safetensors").stat().st_mtime_ns
    assert now == kept


@pytest.mark.slow
def test_a_finished_stage_that_others_come_from_keeps_its_length(data: str, tmp_path: Path) -> None:
    run_recipe(config(data, TEACH, SFT, PARAMS), tmp_path)
    longer = config(data, TEACH, {**SFT, "max_steps": 2}, PARAMS)
    with pytest.raises(RunError, match="'shake' comes from it, so its length cannot be changed"):
        run_recipe(longer, tmp_path, resume=True)


def test_a_stage_can_be_left_out(data: str, tmp_path: Path) -> None:
    skipped = [{**stage, "skip": True} for stage in (TEACH, SFT)]
    run_recipe(config(data, *skipped, RL), tmp_path)
    assert (tmp_path / "rollouts.jsonl").exists(), "the one that is left writes into the run folder"


def test_a_run_that_fails_in_its_first_stage_leaves_nothing(data: str, tmp_path: Path) -> None:
    none_left = {**TEACH, "filters": [{"type": "gold", "correct": False}]}
    with pytest.raises(DataError, match=r"'teach' wrote 0 traces .* gold left out 6, 0 kept"):
        run_recipe(config(data, none_left, SFT), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_inputs_that_are_not_there_are_refused_before_anything_is_written(
    data: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    reads = {**SFT, "traces": [{"source": str(tmp_path / "nowhere")}]}
    with pytest.raises(DataError, match="which is not there"):
        run_recipe(config(data, reads), out)
    (tmp_path / "empty").mkdir()
    reads = {**SFT, "traces": [{"source": str(tmp_path / "empty")}]}
    with pytest.raises(DataError, match="which holds none"):
        run_recipe(config(data, reads), out)
    with pytest.raises(ModelError, match="there is no model folder"):
        run_recipe(config(data, {**RL, "start_from": "/no/model"}), out)
    with pytest.raises(ConfigError, match="no stage before it leaves one"):
        run_recipe(config(data, {**RL, "optimizer_state": "keep"}), out)
    with pytest.raises(ConfigError, match="'shake' drops it"):
        run_recipe(config(data, RL, PARAMS, {**RL, "name": "more", "optimizer_state": "keep"}), out)
    assert not out.exists()


def test_a_solver_is_asked_for_puzzles_alone(data: str, tmp_path: Path) -> None:
    from observe_r1.types import Sample

    write_samples(tmp_path, [Sample(id="q", question="How many?", answer="1", kind="number")])
    with pytest.raises(DataError, match="does not hold puzzles"):
        run_recipe(config(str(tmp_path), TEACH, SFT), tmp_path / "run")


@pytest.mark.slow
def test_the_optimizer_is_kept_over_a_border(data: str, tmp_path: Path) -> None:
    kept = {**PARAMS, "optimizer": "keep"}
    more = {**SFT, "name": "more", "optimizer_state": "keep"}
    run_recipe(config(data, TEACH, SFT, kept, more), tmp_path)
    moments = load_file(tmp_path / "4-more/checkpoints/latest/training/optimizer.safetensors")
    steps = {float(value) for name, value in moments.items() if name.endswith("/step")}
    assert steps == {2.0}, "one step before the border, one behind it"


def test_settings_are_written_whole_and_load_back(data: str, tmp_path: Path) -> None:
    run = config(data, TEACH, SAMPLE, SFT, DPO, PARAMS, RL)
    text = json.dumps(run.model_dump(mode="json"))
    assert RunConfig.model_validate(json.loads(text)) == run


def named(folder: Path) -> dict[str, Any]:
    from observe_r1.policy.load import load_weights_of

    return dict(load_weights_of(str(folder.resolve()), dtype="float32").named_parameters())


@pytest.mark.slow
def test_adapters_are_merged_before_adapters_are_trained_again(data: str, tmp_path: Path) -> None:
    lora = {"policy": {"lora": {"rank": 2}}}
    run_recipe(config(data, TEACH, {**SFT, **lora}, {**RL, **lora}), tmp_path)
    learnt = named(tmp_path / "2-cold/checkpoints/latest")
    start = named(tmp_path / "3-rl/start")
    assert all(learnt[name].equal(start[name]) for name in start)
    adapters = read_json(tmp_path / "3-rl/checkpoints/latest/adapter_config.json")
    assert adapters["base_model_name_or_path"] == str(tmp_path / "3-rl/start")


def test_what_was_left_out_is_counted(data: str, tmp_path: Path) -> None:
    noisy = {
        **TEACH, "attempts": 4, "teacher": {"type": "solver", "careless": 0.8},
        "filters": [{"type": "gold"}, {"type": "duplicates"}],
    }  # fmt: skip
    run_recipe(config(data, noisy), tmp_path)
    card = read_json(tmp_path / "traces.json")
    assert card["written"] == 24
    assert 0 < card["kept"] < 24
    assert card["correct"] == 1.0
    assert "gold left out" in card["how"]
    shown = list(read_rows(tmp_path / "rollouts.jsonl"))
    assert len(shown) == 24
    kept = [row["text"] for row in shown if row["admitted"]]
    assert kept == [row.response for row in read_traces(tmp_path).rows]
