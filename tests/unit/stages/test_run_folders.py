"""What happens to the run folder before, and instead of, training."""

import pytest

import fakes
from observe_r1.config.run import Budget, RunConfig
from observe_r1.data.store import write_samples
from observe_r1.data.traces import read_traces
from observe_r1.errors import DataError, ModelError, RunError
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import write_json
from observe_r1.stages.handover import stage_folders
from observe_r1.stages.models import keep_start
from observe_r1.stages.pipeline import (
    _check_same_run,
    check_can_start,
    claimed_run_folder,
    hardware_of,
    load_run_config,
    run_recipe,
)
from observe_r1.stages.questions import content_hash, correct_length, refuse_overlap
from observe_r1.stages.user_files import changed_files
from observe_r1.train.state import drop_old
from observe_r1.types import Sample


def make_run(*overrides: str, **choice: str) -> RunConfig:
    settings = {"model": "tiny", "data": "folder", "overrides": overrides, **choice}
    return resolve(load_recipe("grpo"), Choice(**settings), Machine())


def fail_before_the_first_step(run: RunConfig, out) -> None:
    with pytest.raises(ModelError), claimed_run_folder(run, out, resume=False):
        assert (out / "config.json").exists()
        raise ModelError("cannot be loaded")


def test_the_settings_are_written_and_load_back(tmp_path):
    run = make_run("rl.max_steps=4")
    with claimed_run_folder(run, tmp_path / "run", resume=False):
        pass
    assert load_run_config(tmp_path / "run") == run
    assert (tmp_path / "run" / "env.json").exists()


def test_a_run_that_never_began_leaves_nothing_behind(tmp_path):
    fail_before_the_first_step(make_run(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_of_the_user_stays_when_the_run_never_began(tmp_path):
    (tmp_path / "mine").mkdir()
    fail_before_the_first_step(make_run(), tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_run_that_began_stays_when_it_fails(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), claimed_run_folder(make_run(), out, resume=False):
        (out / "metrics.jsonl").write_text("{}\n")
        raise KeyboardInterrupt
    assert (out / "config.json").exists()


def test_a_folder_that_holds_a_run_is_never_written_into(tmp_path):
    with claimed_run_folder(make_run(), tmp_path, resume=False):
        pass
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(
        RunError, match=r"already holds a run, and nothing is overwritten\. Go on with"
    ):
        check_can_start(make_run("rl.seed=1"), tmp_path, resume=False)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_folder_that_holds_something_else_is_never_written_into(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="is not empty, and nothing is overwritten"):
        check_can_start(make_run(), tmp_path, resume=False)
    with pytest.raises(RunError, match="is a file"):
        check_can_start(make_run(), tmp_path / "thesis.tex", resume=False)


def test_resuming_needs_a_run(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        check_can_start(make_run(), tmp_path, resume=True)


def test_a_resumed_run_may_be_longer_but_not_another(tmp_path):
    with claimed_run_folder(make_run("rl.max_steps=4"), tmp_path, resume=False):
        pass
    check_can_start(make_run("rl.max_steps=8", "rl.save_every=1"), tmp_path, resume=True)
    with pytest.raises(RunError, match=r"another rl\.group_size, rl\.loss\.clip_low") as found:
        check_can_start(make_run("rl.group_size=4", "rl.loss.clip_low=0.1"), tmp_path, resume=True)
    assert "rl.group_size: 8 then, 4 now" in str(found.value)
    assert "rl.loss.clip_low: 0.2 then, 0.1 now" in str(found.value)
    with pytest.raises(RunError, match="another data"):
        check_can_start(make_run(data="other"), tmp_path, resume=True)


def test_a_run_that_never_began_holds_nothing_of_the_one_it_would_start_from(tmp_path):
    checkpoints, out = tmp_path / "other" / "checkpoints", tmp_path / "run"
    link_latest(tmp_path / "other", "step-000004")
    run = make_run(model=str(checkpoints / "step-000004"))
    with pytest.raises(ModelError), claimed_run_folder(run, out, resume=False):
        keep_start(run.model, out)
        assert len(list(checkpoints.glob("start-of-run-*"))) == 1
        raise ModelError("cannot be loaded")
    assert not list(checkpoints.glob("start-of-*"))


def test_a_run_keeps_the_code_of_its_own_rewards_and_says_when_that_changes(tmp_path, caplog):
    mine, out = tmp_path / "mine.py", tmp_path / "run"
    run = make_run(f'rl.rewards=[{{ type = "user", path = "{mine}:brief" }}]')
    for version, code in enumerate(("return 1.0", "return 1.0", "return 2.0", "return 1.0")):
        mine.write_text(f"def brief(attempt):\n    {code}\n")
        assert bool(changed_files(run, out)) == (version == 2)
        with claimed_run_folder(run, out, resume=version > 0):
            (out / "metrics.jsonl").touch()
    kept = sorted((path.name, path.read_text()[-4:-1]) for path in (out / "code").iterdir())
    assert kept == [("mine-2.py", "2.0"), ("mine.py", "1.0")]
    assert caplog.text.count("is another than the run was begun with") == 1


def test_a_resumed_run_may_be_on_another_machine(tmp_path):
    machine = Machine(1, 80.0, "GPU")
    choice = {"model": "Qwen/Qwen2.5-VL-3B-Instruct", "data": "folder"}
    begun = resolve(load_recipe("grpo"), Choice(**choice), machine)
    assert begun.hardware == "1x80gb-lora-3b"
    with claimed_run_folder(begun, tmp_path, resume=False):
        pass
    known = hardware_of(tmp_path)
    elsewhere = resolve(
        load_recipe("grpo"), Choice(**choice, hardware=known), Machine(1, 40.0, "x")
    )
    _check_same_run(elsewhere, load_run_config(tmp_path), tmp_path)
    less = ("rl.policy.max_tokens_per_microbatch=4096", "rl.engine.max_sequences=8")
    smaller = resolve(
        load_recipe("grpo"), Choice(**choice, hardware=known, overrides=less), machine
    )
    _check_same_run(smaller, load_run_config(tmp_path), tmp_path)
    other = resolve(load_recipe("grpo"), Choice(**choice, hardware="none"), machine)
    with pytest.raises(RunError, match=r"rl\.policy\.lora"):
        _check_same_run(other, load_run_config(tmp_path), tmp_path)
    with claimed_run_folder(other, tmp_path / "plain", resume=False):
        pass
    assert hardware_of(tmp_path / "plain") == "none"
    assert hardware_of(tmp_path / "nothing") is None


def link_latest(run, step: str) -> None:
    checkpoints = run / "checkpoints"
    fakes.save_tiny(checkpoints / step)
    (checkpoints / step / "training").mkdir()
    (checkpoints / "latest").unlink(missing_ok=True)
    (checkpoints / "latest").symlink_to(step)


def test_a_run_that_starts_from_another_stays_with_the_checkpoint_it_began_with(tmp_path):
    other = tmp_path / "other"
    link_latest(other, "step-000004")
    stage = {"type": "params", "operations": [{"type": "shrink_perturb"}]}
    values = {
        "recipe": "test", "preset": "full", "model": str(other), "data": "puzzles",
        "stages": [stage],
    }  # fmt: skip
    run, out = RunConfig.build(values, "test"), tmp_path / "run"
    run_recipe(run, out)
    assert load_run_config(out).model == f"{other}/checkpoints/step-000004"
    check_can_start(run, out, resume=True)
    link_latest(other, "step-000008")
    drop_old(other, keep=1)
    with pytest.raises(RunError, match=r"model: .*step-000004 then, .*step-000008 now"):
        check_can_start(run, out, resume=True)
    check_can_start(load_run_config(out), out, resume=True)
    (link,) = (other / "checkpoints").glob("start-of-run-*")
    link.unlink()
    drop_old(other, keep=1)
    with pytest.raises(ModelError, match="no model folder"):
        check_can_start(load_run_config(out), out, resume=True)


def write_traces(tmp_path, resume: bool = False, **settings) -> None:
    """Four answers of two tokens each."""
    sampling, questions = {"max_new_tokens": 2}, {"source": "puzzles", "count": 4}
    stage = {"type": "sample", "attempts": 1, "sampling": sampling, "questions": questions}
    values = {
        "recipe": "test", "preset": "full", "model": "tiny", "data": "puzzles",
        "stages": [{**stage, **settings}],
    }  # fmt: skip
    run_recipe(RunConfig.build(values, "test"), tmp_path / "run", resume=resume)


def test_filters_that_left_too_little_are_loosened_until_a_stage_has_ended(tmp_path):
    with pytest.raises(DataError, match="wrote 0 traces and wants at least 1"):
        write_traces(tmp_path, filters=[{"type": "well_formed"}])
    drawn = (tmp_path / "run" / "drawn" / "rollouts.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"another sample\.grammar"):
        write_traces(tmp_path, resume=True, grammar="observe_think_answer", filters=[])
    write_traces(tmp_path, resume=True, filters=[])
    assert len(read_traces(tmp_path / "run")) == 4
    assert (tmp_path / "run" / "drawn" / "rollouts.jsonl").read_bytes() == drawn
    with pytest.raises(RunError, match=r"another sample\.filters"):
        write_traces(tmp_path, resume=True, filters=[{"type": "gold"}])


def question(number: int, **changes) -> Sample:
    fields = {
        "id": f"q{number}",
        "question": f"How many in {number}?",
        "answer": "2",
        "kind": "number",
    }
    return Sample(**{**fields, **changes})


def test_content_counts_not_ids():
    assert content_hash(question(1)) == content_hash(question(1, id="other"))
    assert content_hash(question(1)) != content_hash(question(1, images=(b"x",)))
    assert content_hash(question(1, options=("a", "b"))) != content_hash(
        question(1, options=("ab",))
    )


def test_a_held_out_question_that_is_trained_on_is_refused():
    refuse_overlap([question(1)], [question(2)], "data")
    with pytest.raises(DataError, match="1 held-out questions are also in data, for example q1"):
        refuse_overlap([question(1)], [question(2), question(1, id="other")], "data")


def test_correct_lengths_come_from_samples_that_were_solved(tmp_path):
    samples = [
        question(n, solve_rate=0.0 if n < 10 else 0.5, complexity=1.0 if n < 10 else 20.0 + n)
        for n in range(30)
    ]
    write_samples(tmp_path / "data", samples)
    assert correct_length(str(tmp_path / "data"), 25) == 35.0  # of 30 … 49
    write_samples(tmp_path / "plain", [question(1)])
    assert correct_length(str(tmp_path / "plain"), 25) is None


def test_replies_that_were_paid_for_stay_when_their_round_was_not_whole(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), claimed_run_folder(make_run(), out, resume=False):
        (out / "1-teach" / "drawn").mkdir(parents=True)
        (out / "1-teach" / "drawn" / "replies.jsonl").write_text("{}\n")
        raise KeyboardInterrupt
    assert (out / "1-teach" / "drawn" / "replies.jsonl").exists()


def test_two_processes_do_not_write_into_one_run_folder(tmp_path):
    run, out = make_run(), tmp_path / "run"
    with claimed_run_folder(run, out, resume=False):
        (out / "metrics.jsonl").write_text("{}\n")
        with (
            pytest.raises(RunError, match=r"another process is at work in .* Wait until"),
            claimed_run_folder(run, out, resume=True),
        ):
            pass
        assert (out / "metrics.jsonl").exists()
    with claimed_run_folder(run, out, resume=True):  # the first has let go
        pass


def ended(run: RunConfig, out, **done) -> None:
    """Both stages of a run as they are left when they came to their end."""
    with claimed_run_folder(run, out, resume=False):
        for folder, stage in stage_folders(run, out):
            folder.mkdir()
            limits = {"max_steps": stage.max_steps, "max_minutes": stage.max_minutes}
            write_json(folder / "done.json", {"limits": limits, **done})


def two_stages(**settings) -> RunConfig:
    first, second = {"type": "rl", "name": "one"}, {"type": "rl", "name": "two", **settings}
    values = {"recipe": "test", "preset": "full", "model": "tiny", "data": "puzzles"}
    return RunConfig.build({**values, "stages": [first, second]}, "test")


def reopened(run: RunConfig, out) -> list[str]:
    check_can_start(run, out, resume=True)
    return [folder.name for folder, _ in stage_folders(run, out)
            if not (folder / "done.json").exists()]  # fmt: skip


def test_a_last_stage_that_ended_by_its_minutes_goes_on_when_there_are_more(tmp_path):
    ended(two_stages(max_minutes=1.0), tmp_path / "run")
    assert reopened(two_stages(max_minutes=1.0), tmp_path / "run") == []
    assert reopened(two_stages(max_minutes=2.0), tmp_path / "run") == ["2-two"]


def test_a_last_stage_that_ended_by_its_tokens_goes_on_when_there_are_more(tmp_path):
    run = two_stages()
    richer = run.model_copy(update={"budget": Budget(generated=2_000)})
    run = run.model_copy(update={"budget": Budget(generated=1_000)})
    ended(run, tmp_path / "run", budget=run.budget.model_dump(mode="json"))
    assert reopened(run, tmp_path / "run") == []
    assert reopened(richer, tmp_path / "run") == ["2-two"]
