"""Every recipe loads, resolves with every preset and machine, and round-trips through config.json."""

import json

import pytest

from observe_r1.config.run import RunConfig
from observe_r1.config.show import setting_lines
from observe_r1.recipes import load_recipe, names
from observe_r1.recipes.hardware import all_hardware
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve

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
def test_hardware_never_changes_what_a_step_draws(name, hardware):
    plain, fitted = resolve_offline(name), resolve_offline(name, hardware=hardware)
    for one, other in zip(plain.stages, fitted.stages, strict=True):
        assert one.completions_per_step == other.completions_per_step
        assert one.loss == other.loss
        assert one.optimizer.updates_per_rollout == other.optimizer.updates_per_rollout


@pytest.mark.parametrize("name", names())
def test_the_tiny_model_gets_the_tiny_preset(name):
    run = resolve_offline(name, model="tiny", data="puzzles")
    assert run.preset == "tiny"
    assert run.hardware is None
    assert all(stage.policy.dtype == "float32" for stage in run.stages)


@pytest.mark.parametrize("name", names())
def test_max_steps_can_be_set_as_rl_whatever_the_stage_is_called(name):
    run = resolve_offline(name, overrides=("rl.max_steps=4",))
    assert any(stage.max_steps == 4 for stage in run.stages)
    assert "rl.max_steps=4 (from the command line)" in run.deviations
