"""The commands that need no model: recipes, train --dry-run, plan, doctor."""

import json

import pytest

from observe_r1.cli.main import call
from observe_r1.data.store import write_samples
from observe_r1.types import Sample


@pytest.fixture
def folder(tmp_path):
    samples = [
        Sample(id=f"q{n}", question="2?", answer="2", kind="number", solve_rate=0.5, level=4,
               complexity=10.0 + n, rung=4, position=n)
        for n in range(40)
    ]  # fmt: skip
    write_samples(tmp_path / "ladder", samples)
    return str(tmp_path / "ladder")


def last_object(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_recipes_lists_every_recipe(capsys):
    assert call(["recipes", "--json"]) == 0
    found = {recipe["name"] for recipe in last_object(capsys)["recipes"]}
    assert {"observe_r1", "grpo", "dr_grpo", "dapo", "gspo"} <= found


def test_one_recipe_resolved(capsys):
    assert call(["recipes", "observe_r1", "--json"]) == 0
    recipe = last_object(capsys)
    assert recipe["stages"][0]["weight"]["sigma"] == 1.8


def test_a_dry_run_names_the_preset_first_and_the_sizes_last(folder, capsys):
    assert call(["train", "observe_r1", "--data", folder, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("recipe observe_r1, preset tiny")
    assert any("differs from the paper" in line for line in lines)
    assert any(line.strip().startswith("steps") for line in lines)


def test_a_dry_run_takes_the_floor_from_the_probe(folder, capsys):
    assert call(["train", "observe_r1", "--data", folder, "--dry-run", "--json"]) == 0
    result = last_object(capsys)
    assert result["config"]["stages"][0]["bonus"]["floor"] == 20
    assert result["questions"] == 40


def test_steps_follow_from_the_data(folder, capsys):
    arguments = ["train", "grpo", "rl.max_steps=none", "--data", folder, "--dry-run", "--json"]
    assert call(arguments) == 0
    assert last_object(capsys)["estimates"]["rl"]["steps"] == 3  # 40 questions, 16 a step


def test_overrides_and_options_may_be_mixed(folder, capsys):
    arguments = [
        "train",
        "grpo",
        "--data",
        folder,
        "rl.max_steps=4",
        "--dry-run",
        "--json",
        "rl.seed=3",
    ]
    assert call(arguments) == 0
    (stage,) = last_object(capsys)["config"]["stages"]
    assert (stage["max_steps"], stage["seed"]) == (4, 3)


def test_a_dry_run_says_what_a_run_would_be_refused_for(folder, capsys):
    choice = ['rl.questions.families=["dice"]', "--data", folder, "--dry-run"]
    assert call(["train", "grpo", *choice]) == 2
    captured = capsys.readouterr()
    assert "rl.group_size = " in captured.out, "the settings are shown all the same"
    assert "stage 'rl': none of the 40 questions" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipes", "nope"], "there is no recipe named 'nope'"),
        (["train", "grpo", "--data", "no/such/folder", "--dry-run"], "there is no data folder"),
        (["train", "grpo", "--data", "{folder}"], "no run folder was given"),
        (["train", "grpo", "rl.weigth=1", "--dry-run"], "Did you mean weight?"),
        (["train", "grpo", "rl.max_steps", "--dry-run"], "has no '='"),
        (
            ["train", "grpo", "rl.start_from=./no/run", "--data", "{folder}", "--dry-run"],
            "there is no model folder ./no/run",
        ),
        (
            ["train", "grpo", "--data", "{folder}", "--model", "./no/model", "--out", "x"],
            "./no/model",
        ),
        (["plan", "grpo", "--model", "m", "--gpu", "h100"], "the sizes of 'm' are not known"),
        (["plan", "grpo", "--model", "tiny", "--gpu", "h1000"], "Did you mean H100"),
        (["export", "verl", "grpo"], "Say where to write: --out"),
    ],
)
def test_mistakes_are_one_message_and_status_two(
    arguments, message, folder, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert call([part.format(folder=folder) for part in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "x").exists()
