"""Every recipe loads, resolves with every preset and machine, and round-trips through config.json."""

import json
import re
from dataclasses import replace
from importlib.resources import files

import pytest

from observe_r1.cli.main import call
from observe_r1.config.run import RunConfig
from observe_r1.config.show import setting_lines
from observe_r1.data.puzzles import get_family
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.data.store import write_samples
from observe_r1.errors import ConfigError
from observe_r1.experiments.plan import load_experiment
from observe_r1.recipes import load_recipe, names
from observe_r1.recipes.hardware import all_hardware
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.stages.check import check_inputs
from observe_r1.stages.pipeline import run_recipe

CASES = [(name, preset) for name in names() for preset in load_recipe(name).presets]


def resolve_offline(name: str, **choice: object) -> RunConfig:
    settings = {"model": "some/model", "data": "folder", **choice}
    return resolve(load_recipe(name), Choice(**settings), Machine(), lambda percent: 24.0)


@pytest.mark.parametrize("name", names())
def test_a_recipe_names_its_paper_and_what_it_does(name):
    recipe = load_recipe(name)
    assert recipe.paper is not None
    assert recipe.paper.arxiv
    assert len(recipe.summary) > 20
    assert recipe.deviations, "no published method is followed to the letter: say where not"


@pytest.mark.parametrize("name", names())
def test_the_status_is_backed(name):
    recipe = load_recipe(name)
    if recipe.status != "implemented, untested at scale":
        assert recipe.evidence, "say how the status is known"


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_a_run_config_loads_back_to_the_same_object(name, preset):
    run = resolve_offline(name, preset=preset)
    assert RunConfig.model_validate(json.loads(json.dumps(run.model_dump(mode="json")))) == run


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_every_shown_setting_can_be_given_back_as_an_override(name, preset):
    run = resolve_offline(name, preset=preset)
    lines = [line.replace(" = ", "=", 1) for stage in run.stages for line in setting_lines(stage)]
    again = resolve_offline(name, preset=preset, overrides=tuple(lines))
    assert again.stages == run.stages


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("hardware", [hardware.name for hardware in all_hardware()])
def test_hardware_never_changes_what_a_step_draws_or_learns_from(name, hardware):
    plain, fitted = resolve_offline(name), resolve_offline(name, hardware=hardware)
    for one, other in zip(plain.stages, fitted.stages, strict=True):
        for setting in ("completions_per_step", "loss", "examples_per_step", "attempts", "traces"):
            assert getattr(one, setting, None) == getattr(other, setting, None)
        if one.type == "rl":
            assert one.optimizer.updates_per_rollout == other.optimizer.updates_per_rollout


@pytest.mark.parametrize("name", names())
def test_adapters_are_trained_in_every_stage_or_in_none(name):
    for hardware in all_hardware():
        run = resolve_offline(name, hardware=hardware.name)
        trained = [stage for stage in run.active_stages if hasattr(stage, "policy")]
        assert len({stage.policy.lora is None for stage in trained}) == 1


@pytest.mark.parametrize("name", names())
def test_the_tiny_model_gets_the_tiny_preset(name):
    run = resolve_offline(name, model="tiny", data="puzzles")
    assert run.preset == "tiny"
    assert run.hardware is None
    trained = [stage for stage in run.stages if hasattr(stage, "policy")]
    assert all(stage.policy.dtype == "float32" for stage in trained)
    assert all(stage.max_steps is not None for stage in trained), "a small run must end by itself"


@pytest.mark.parametrize("name", names())
def test_max_steps_can_be_set_as_rl_where_there_is_one_such_stage(name):
    in_all = [stage for stage in load_recipe(name).stages if stage.type == "rl"]
    if len(in_all) == 1:
        run = resolve_offline(name, overrides=("rl.max_steps=4",))
        assert any(getattr(stage, "max_steps", None) == 4 for stage in run.stages)
        assert "rl.max_steps=4 (from the command line)" in run.deviations
    elif not any(stage.name == "rl" for stage in in_all):
        with pytest.raises(ConfigError, match=r"override of rl: recipe"):
            resolve_offline(name, overrides=("rl.max_steps=4",))


@pytest.mark.parametrize("name", names())
def test_what_the_stages_read_is_there(name):
    check_inputs(resolve_offline(name, model="tiny", data="puzzles"))


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory) -> str:
    """A few puzzles as a data folder: the built-in thousand take a second to draw."""
    folder = tmp_path_factory.mktemp("puzzles")
    drawn = training_stream([get_family("counting")], 11, 6)
    rated = [replace(s, solve_rate=n % 4 / 4, complexity=30.0) for n, s in enumerate(drawn)]
    write_samples(folder, rated)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "model"),
    [*((name, "tiny") for name in names()), ("vision_r1", "Qwen/Qwen2.5-VL-3B-Instruct")],
)
def test_a_dry_run_shows_every_stage(name, model, puzzles, capsys):
    assert call(["train", name, "--model", model, "--data", puzzles, "--dry-run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    shown = {stage["name"] for stage in result["config"]["stages"]}
    assert shown == {stage.name for stage in load_recipe(name).stages}


@pytest.mark.parametrize("name", names())
def test_data_that_is_named_is_asked_whatever_the_preset(name, puzzles):
    run = resolve_offline(name, model="tiny", data=puzzles)
    assert any(hasattr(s, "questions") and s.questions.source is None for s in run.active_stages)


@pytest.mark.parametrize("name", ["grpo", "specs", "shrink_perturb"])
def test_one_seed_is_that_of_every_stage(name, capsys):
    command = ["train", name, "--seed", "3", "--dry-run", "--json"]
    assert call(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {stage["seed"] for stage in result["config"]["stages"]} == {3}


@pytest.mark.parametrize("name", names())
def test_the_file_says_where_its_values_come_from(name):
    source = files("observe_r1.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    assert re.search(r"\[(paper|code|notes|page)\]", source)


SISTERS = (
    "rl_with_cold_start", "vision_r1", "ton", "specs", "th2t", "sketch_thinker", "warm_up_kk",
    "still2", "shrink_perturb", "rewarm",
)  # fmt: skip


@pytest.mark.parametrize("name", SISTERS)
def test_a_method_has_claims_that_can_be_tested(name):
    experiment = load_experiment(name)
    assert len(experiment.claims) >= 3
    assert experiment.equal
    assert min(arm.seeds for arm in experiment.arms) >= 5
    assert experiment.shortened().claims, "the quick form must test something"


@pytest.mark.slow
@pytest.mark.parametrize("name", SISTERS)
def test_one_tiny_step_of_every_stage(name, tmp_path):
    run = resolve_offline(name, model="tiny", data="puzzles", overrides=tiny_steps(name))
    told = []
    run_recipe(run, tmp_path / "run", notify=lambda stage, *_: told.append(stage))
    assert list(dict.fromkeys(told)) == [stage.name for stage in run.active_stages]


def tiny_steps(name: str) -> tuple[str, ...]:
    """Every stage as small as it can be and still have something to do."""
    found = []
    for stage in resolve_offline(name, model="tiny", data="puzzles").active_stages:
        sizes = {"max_steps": 1, "prompts_per_step": 2, "group_size": 4, "examples_per_step": 4}
        found += [f"{stage.name}.{k}={v}" for k, v in sizes.items() if hasattr(stage, k)]
        if getattr(getattr(stage, "questions", None), "stream", None) is not None:
            found.append(f"{stage.name}.questions.count=48")
    return tuple(found)
