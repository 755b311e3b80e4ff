"""Train, resume, evaluate, export and demonstrate, through the command line, with a byte-level model.

The model has random weights: nothing is learned here. What is tested is that every part finds the
others and writes what it promises.
"""

import json
import shutil
from pathlib import Path

import pytest

from observe_r1.cli.main import call

torch = pytest.importorskip("torch")
fakes = pytest.importorskip("fakes")

SMALL = [
    "rl.prompts_per_step=2", "rl.group_size=2", "rl.sampling.max_new_tokens=12", "rl.bonus.floor=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, str]:
    """A model folder and a ladder of sixteen puzzles."""
    from dataclasses import replace

    from observe_r1.data.puzzles import MIX, get_family
    from observe_r1.data.puzzles.shipped import training_stream
    from observe_r1.data.store import write_samples

    root = tmp_path_factory.mktemp("front")
    fakes.tiny_model().save_pretrained(root / "model")
    fakes.byte_processor().save_pretrained(root / "model")
    puzzles = training_stream([get_family(name) for name in MIX], 1, 16)
    probed = [
        replace(puzzle, solve_rate=0.5, level=4, complexity=20.0, rung=4, position=place)
        for place, puzzle in enumerate(puzzles)
    ]
    write_samples(root / "ladder", probed)
    return {"model": str(root / "model"), "data": str(root / "ladder"), "root": str(root)}


def run_json(arguments: list[str], capsys) -> dict:
    status = call([*arguments, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out.splitlines()[-1])


def train(places, out: Path, *more: str) -> list[str]:
    return [
        "train", "observe_r1", *SMALL, "--preset", "tiny", "--model", places["model"],
        "--data", places["data"], "--out", str(out), *more,
    ]  # fmt: skip


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_training_writes_the_run_folder_and_resumes(places, tmp_path, capsys):
    out = tmp_path / "run"
    result = run_json(train(places, out, "rl.max_steps=2"), capsys)
    assert result["steps"] == 2
    assert call(train(places, out)) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert call(train(places, out, "rl.max_steps=3", "--resume")) == 0
    assert f"eval {out} --data HELD_OUT" in capsys.readouterr().out  # not what it was trained on
    assert [row["step"] for row in rows(out / "metrics.jsonl")] == [1, 2, 3]
    assert {row["step"] for row in rows(out / "rollouts.jsonl")} == {1, 2, 3}
    assert json.loads((out / "env.json").read_text())["finished"]
    assert (out / "checkpoints" / "latest").resolve().name == "step-000003"


def test_held_out_puzzles_are_measured_while_training(places, tmp_path, capsys):
    more = [
        "rl.max_steps=2",
        "rl.eval_every=2",
        "heldout.data=puzzles",
        "heldout.questions=4",
        "heldout.samples=2",
    ]
    run_json(train(places, tmp_path / "run", *more), capsys)
    (_, last) = rows(tmp_path / "run" / "metrics.jsonl")
    assert {"eval/accuracy", "eval/greedy/accuracy"} <= last.keys()
    assert (tmp_path / "run" / "eval" / "step-000002" / "scores.json").exists()
    assert (tmp_path / "run" / "eval" / "step-000002-greedy" / "predictions.jsonl").exists()


def test_evaluating_writes_both_readings_and_goes_on_where_it_was(places, tmp_path, capsys):
    arguments = [
        "eval", places["model"], "--data", "puzzles", "--out", str(tmp_path / "eval"), "--limit", "6",
        "--samples", "2", "--max-new-tokens", "8", "--batch-size", "4",
    ]  # fmt: skip
    result = run_json(arguments, capsys)
    assert result["scores"]["puzzles"]["num_questions"] == 6
    path = tmp_path / "eval" / "eval" / "puzzles" / "predictions.jsonl"
    whole = path.read_text()
    assert len(rows(path)) == 12
    path.write_text("".join(whole.splitlines(keepends=True)[:9]))
    run_json(arguments, capsys)
    assert path.read_text() == whole
    assert len(rows(tmp_path / "eval" / "samples.jsonl")) == 6
    assert call(["eval", "tiny-other", "--data", "puzzles", "--out", str(tmp_path / "eval")]) == 2


@pytest.mark.parametrize("named", ["run", "run/checkpoints/latest"])
def test_scores_of_older_weights_are_not_taken_for_those_of_a_run_that_has_gone_on(
    named, places, tmp_path, capsys
):
    checkpoints = tmp_path / "run" / "checkpoints"

    def reach(step: str) -> None:
        shutil.copytree(places["model"], checkpoints / step)
        (checkpoints / "latest").unlink(missing_ok=True)
        (checkpoints / "latest").symlink_to(step)

    def asked(out: str, *more: str) -> list[str]:
        return [
            "eval", str(tmp_path / named), "--data", "puzzles", "--limit", "2", "--samples", "1",
            "--no-greedy", "--max-new-tokens", "4", "--out", str(tmp_path / out), *more,
        ]  # fmt: skip

    store = ("--store", str(tmp_path / "store"))
    reach("step-000001")
    for arguments in (asked("eval"), asked("shared", *store)):
        run_json(arguments, capsys)
        run_json(arguments, capsys)  # the same weights: it goes on
    reach("step-000002")
    assert call(asked("eval")) == 2
    told = capsys.readouterr().err
    assert "step-000001 on puzzles, and this is an evaluation of" in told
    assert "choose another --out" in told
    assert call(asked("other", *store)) == 2
    assert "step-000002' here" in capsys.readouterr().err
    run_json(asked("eval-2"), capsys)


def test_an_exported_model_can_be_trained_again(places, tmp_path, capsys):
    run_json(train(places, tmp_path / "run", "rl.max_steps=1"), capsys)
    exported = tmp_path / "exported"
    run_json(["export", "model", str(tmp_path / "run"), "--out", str(exported)], capsys)
    assert (exported / "model.safetensors").exists()
    assert (exported / "chat_template.jinja").exists()
    assert not (exported / "training").exists()
    assert call(["export", "model", str(tmp_path / "run"), "--out", str(exported)]) == 2
    again = train({**places, "model": str(exported)}, tmp_path / "again", "rl.max_steps=1")
    run_json(again, capsys)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # called by PEFT
def test_adapters_are_merged_on_export(places, tmp_path, capsys):
    lora = [
        "rl.max_steps=1",
        "rl.policy.lora={rank = 2, alpha = 4}",
        "rl.policy.freeze_vision=true",
    ]
    run_json(train(places, tmp_path / "run", *lora), capsys)
    result = run_json(
        ["export", "model", str(tmp_path / "run"), "--out", str(tmp_path / "merged"), "--merge"],
        capsys,
    )
    assert result["merged"]
    assert (tmp_path / "merged" / "model.safetensors").exists()
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


def test_the_demonstration_end_to_end(places, tmp_path):
    from contextlib import contextmanager

    from observe_r1.stages.demo import Demo, DemoSizes, predictions

    @contextmanager
    def unseen(name, total):
        yield lambda done=1, note="": None

    sizes = DemoSizes(
        probed=8, rollouts=2, held_out=6, samples=2, overrides=("rl.max_steps=2", *SMALL)
    )
    demo = Demo(out=tmp_path / "demo", sizes=sizes, seed=0, watch=unseen, model=places["model"])
    result = demo.run()
    assert result.scores.keys() == {"before", "before-greedy", "after", "after-greedy"}
    assert result.report is not None
    assert result.report.exists()
    assert len(predictions(result.run, "after")) == 12
    asked = {row["sample_id"] for row in rows(result.run / "samples.jsonl")}
    assert {row["sample_id"] for row in predictions(result.run, "before")} <= asked
    trained = {row["sample_id"] for row in rows(result.run / "rollouts.jsonl")}
    assert not trained & {row["sample_id"] for row in predictions(result.run, "before")}


@pytest.mark.slow
def test_an_experiment_runs_stops_and_goes_on(places, tmp_path):
    from small_experiment import experiment as small

    from observe_r1.experiments.running import run_experiment, trials_of, write_results
    from observe_r1.experiments.verdicts import NOT_DECIDED

    experiment = small(places["model"])
    assert len(trials_of(experiment)) == 4
    seen = []

    def stop_after_two(trial, result):
        seen.append(trial)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, tmp_path / "out", notify=stop_after_two)
    again = []
    found = run_experiment(experiment, tmp_path / "out", notify=lambda t, r: again.append(t))
    assert len(again) == 2
    assert found.keys() == {"full", "grpo"}
    assert found["full"].keys() == {0, 1}
    assert {"accuracy", "curve_area", "sight_gap", "tokens_generated"} <= found["full"][0].keys()
    path = write_results(experiment, found, tmp_path / "results", quick=False)
    (claim,) = json.loads(path.read_text())["claims"]
    assert claim["verdict"] in (NOT_DECIDED, "does not")


def test_questions_that_were_trained_on_are_named_before_any_number(places, tmp_path, capsys):
    from dataclasses import replace

    from observe_r1.data.puzzles import held_out
    from observe_r1.data.store import read_samples, write_samples

    asked = held_out(4)
    training = list(read_samples(Path(places["data"])))
    copied = replace(training[0], id="copied", question=asked[2].question, images=asked[2].images)
    write_samples(tmp_path / "training", [*training[1:], copied])
    arguments = [
        "eval", places["model"], "--data", "puzzles", "--limit", "4", "--samples", "1",
        "--max-new-tokens", "4", "--no-greedy",
    ]  # fmt: skip
    more = ["--out", str(tmp_path / "eval"), "--training-data", str(tmp_path / "training")]
    status = call([*arguments, *more, "--json"])
    captured = capsys.readouterr()
    assert status == 0
    assert json.loads(captured.out.splitlines()[-1])["overlap_with_training"] == [asked[2].id]
    assert f"WARNING: 1 of 4 questions are also in {tmp_path / 'training'}" in captured.err
    clean = run_json(
        [*arguments, "--out", str(tmp_path / "two"), "--training-data", places["data"]], capsys
    )
    assert clean["overlap_with_training"] == []


def test_a_trained_model_is_checked_against_its_own_data_without_being_asked(
    places, tmp_path, capsys
):
    run_json(train(places, tmp_path / "run", "rl.max_steps=1"), capsys)
    result = run_json(
        ["eval", str(tmp_path / "run"), "--data", places["data"], "--limit", "3", "--samples", "1",
         "--no-greedy", "--max-new-tokens", "4", "--out", str(tmp_path / "eval")],
        capsys,
    )  # fmt: skip
    assert len(result["overlap_with_training"]) == 3  # asked what it was trained on


@pytest.mark.slow
def test_the_real_mathvision_questions_are_accounted_for_exactly(
    places, real_questions, tmp_path, capsys
):
    arguments = [
        "eval", places["model"], "--benchmark", "mathvision", "--source", str(real_questions),
        "--out", str(tmp_path / "out"), "--samples", "1", "--max-new-tokens", "4",
    ]  # fmt: skip
    result = run_json(arguments, capsys)
    accounting = result["benchmark"]
    asked = accounting["num_rows"] - sum(accounting["left_out"].values())
    for name in ("mathvision", "mathvision-greedy"):
        scores = result["scores"][name]
        assert scores["num_questions"] == asked
        assert scores["num_missing"] == 0
        assert len(rows(tmp_path / "out" / "eval" / name / "predictions.jsonl")) == asked
        assert sum(part["num_questions"] for part in scores["per_family"].values()) == asked
        predicted = rows(tmp_path / "out" / "eval" / name / "predictions.jsonl")
        assert len({row["sample_id"] for row in predicted}) == asked
        assert scores["accuracy"]["value"] == sum(row["correct"] for row in predicted) / asked
        official = result["official"][name]
        assert official["rule"] == "official rule"
        assert round(official["figure"] * asked, 6) == round(official["figure"] * asked)
    assert (accounting["num_rows"], accounting["left_out"], asked) == (304, {}, 304)
