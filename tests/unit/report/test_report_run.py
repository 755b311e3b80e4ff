"""Opening run folders: good, unfinished, damaged, newer, and not runs at all."""

import json
from pathlib import Path

import pytest

from observe_r1.errors import RunError
from observe_r1.report.evaluations import build_table, mean_interval, read_evaluations
from observe_r1.report.index import open_index
from observe_r1.report.ladder import build_ladder
from observe_r1.report.payload import build_payload
from observe_r1.report.run import flatten, last_written, open_run, state


def test_a_good_run_has_no_problems(good_run: Path) -> None:
    run = open_run(good_run)
    assert run.problems == ()
    assert run.last_step == run.planned_steps == 24
    assert state(run)["text"] == "Finished: 24 steps."


def test_a_folder_that_is_no_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it holds none of config\.json"):
        open_run(tmp_path)
    with pytest.raises(RunError, match="is not a folder"):
        open_run(tmp_path / "missing")


def test_a_folder_around_a_run_is_refused_with_the_run_in_it(own_run: Path) -> None:
    with pytest.raises(RunError, match=f"Did you mean {own_run}\\?"):
        open_run(own_run.parent)


def test_an_unfinished_run_says_where_it_stopped(own_run: Path) -> None:
    config = json.loads((own_run / "config.json").read_text())
    config["stages"][0]["max_steps"] = 40
    (own_run / "config.json").write_text(json.dumps(config))
    run = open_run(own_run)
    written = last_written(own_run)
    assert state(run, now=written + 5)["text"] == "Running: step 10 of 40."
    assert state(run, now=written + 4000)["text"] == "Unfinished: stopped at step 10 of 40."


def test_a_run_that_has_just_begun_is_shown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    payload = build_payload(open_run(tmp_path), open_index(tmp_path / "rollouts.jsonl"))
    assert payload["state"]["text"] == "No step has been recorded yet."
    assert len(payload["problems"]) == 4


def test_a_truncated_run_shows_what_is_there(own_run: Path) -> None:
    for name in ("metrics.jsonl", "rollouts.jsonl", "samples.jsonl", "config.json"):
        content = (own_run / name).read_bytes()
        (own_run / name).write_bytes(content[: len(content) * 2 // 3])
    run = open_run(own_run)
    assert "config.json cannot be read as JSON; it may be cut off." in run.problems
    assert any("last line of metrics.jsonl is incomplete" in problem for problem in run.problems)
    payload = build_payload(run, open_index(run.rollouts))
    assert payload["curves"]
    assert payload["choices"]["steps"][1] >= 5


def test_a_run_of_a_newer_format_is_shown_with_one_message(own_run: Path) -> None:
    (own_run / "env.json").write_text('{"format": 7}')
    run = open_run(own_run)
    assert [p for p in run.problems if "written in format 7" in p and "newer observe-r1" in p]
    assert run.last_step == 10


def test_metrics_of_a_step_written_twice_are_merged_and_sorted(tmp_path: Path) -> None:
    rows = [{"step": 2, "a": 1}, {"step": 1, "a": 5}, {"step": 2, "b": 3}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = open_run(tmp_path).metrics
    assert metrics.steps == [1, 2]
    assert metrics.columns == {"a": [5, 1], "b": [None, 3]}


def test_nested_metrics_are_flattened() -> None:
    row = {"step": 3, "a": {"b": {"c": 1}}, "text": "x", "list": [1, 2]}
    assert flatten(row) == {"a/b/c": 1}


def test_the_heat_map_holds_the_solve_rates(good_run: Path) -> None:
    run = open_run(good_run)
    index = open_index(run.rollouts)
    heat = build_ladder(run, index)["heat"]
    rung_of = {name: question.rung for name, question in run.questions.items()}
    lines = [json.loads(line) for line in run.rollouts.read_text().splitlines()]
    column = next(n for n, span in enumerate(heat["spans"]) if span[0] <= 12 <= span[1])
    low, high = heat["spans"][column]
    for place, rung in enumerate(heat["rungs"]):
        wanted = [
            r["correct"]
            for r in lines
            if low <= r["step"] <= high and rung_of[r["sample_id"]] == rung
        ]
        if wanted:
            assert heat["rate"][place][column] == pytest.approx(
                sum(wanted) / len(wanted), abs=0.001
            )
        else:
            assert heat["rate"][place][column] is None


def test_before_and_after_are_paired_on_the_same_questions(good_run: Path) -> None:
    table = build_table(read_evaluations(open_run(good_run)))
    assert [row["name"] for row in table["rows"]] == ["before", "after"]
    (change,) = table["changes"]
    before, after = (row["accuracy"]["value"] for row in table["rows"])
    assert change["questions"] == 36
    assert change["value"] == pytest.approx(after - before, abs=1e-9)
    assert change["low"] < change["value"] < change["high"]


def test_an_interval_shrinks_with_more_questions() -> None:
    few, many = mean_interval([0.0, 1.0] * 10), mean_interval([0.0, 1.0] * 1000)
    assert few is not None and many is not None
    assert many["high"] - many["low"] < 0.2 * (few["high"] - few["low"])
    # The standard error of a mean of 2,000 fair coins is 0.0112.
    assert many["high"] - many["low"] == pytest.approx(4 * 0.0112, rel=0.1)


def test_evaluations_stand_in_the_order_of_training(own_run: Path) -> None:
    for name in ("step-100", "step-20", "after-greedy", "before-greedy"):
        (own_run / "eval" / name).mkdir()
        (own_run / "eval" / name / "predictions.jsonl").write_text(
            '{"sample_id": "a", "correct": true}\n'
        )
    names = [evaluation.name for evaluation in read_evaluations(open_run(own_run))]
    assert names == ["before", "step-20", "step-100", "after", "before-greedy", "after-greedy"]


def test_a_run_of_several_stages_shows_the_last_and_says_so(own_run: Path, tmp_path: Path) -> None:
    home = tmp_path / "staged"
    (home / "1-warm_up").mkdir(parents=True)
    (home / "1-warm_up" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    own_run.rename(home / "2-rl")
    (home / "2-rl" / "config.json").rename(home / "config.json")
    (home / "2-rl" / "env.json").rename(home / "env.json")
    run = open_run(home)
    assert run.name == "staged/2-rl"
    assert run.last_step == 10
    assert run.stage["name"] == "rl"
    assert ["has 2 stages" in note for note in run.notes] == [True]
    stages = build_payload(run, open_index(run.rollouts))["stages"]
    assert [(stage["name"], stage["steps"], stage["shown"]) for stage in stages] == [
        ("1-warm_up", 1, False),
        ("2-rl", 10, True),
    ]
    assert open_run(home / "2-rl").config == run.config
    assert open_run(home / "1-warm_up").metrics.columns == {"loss": [2.0]}


def test_a_stage_that_samples_nothing_misses_no_rollouts(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    for kind, missed in (("sft", 0), ("rl", 2)):
        stages = [{"type": kind, "name": "only"}]
        (tmp_path / "config.json").write_text(json.dumps({"stages": stages}))
        assert len(open_run(tmp_path).problems) == missed


def test_a_folder_of_an_evaluation_is_shown_as_one(tmp_path: Path) -> None:
    (tmp_path / "eval" / "puzzles").mkdir(parents=True)
    (tmp_path / "config.json").write_text('{"evaluates": "tiny", "data": "puzzles"}')
    (tmp_path / "eval" / "puzzles" / "predictions.jsonl").write_text(
        '{"sample_id": "a", "correct": true}\n'
    )
    run = open_run(tmp_path)
    assert run.problems == ()
    assert state(run)["text"] == "An evaluation of tiny."
    payload = build_payload(run, open_index(run.rollouts))
    assert payload["table"]["rows"][0]["accuracy"]["value"] == 1.0


def test_the_ladder_of_the_data_folder_is_counted(own_run: Path, tmp_path: Path) -> None:
    data = tmp_path / "ladder"
    data.mkdir()
    (data / "ladder.json").write_text(
        '{"samples_by_rung_and_level": [[3, 1], [0, 4]], "num_samples": 8, "x": {}}'
    )
    config = json.loads((own_run / "config.json").read_text())
    (own_run / "config.json").write_text(json.dumps({**config, "data": str(data)}))
    run = open_run(own_run)
    ladder = build_ladder(run, open_index(run.rollouts))
    assert ladder["rungs"] == [[0, 4], [1, 4]]
    assert ladder["levels"] == [[0, 3], [1, 5]]
    assert ladder["source"] == {"num_samples": "8"}
