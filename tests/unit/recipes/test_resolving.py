import pytest

from observe_r1.errors import ConfigError
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, choose_preset, resolve

TWO_STAGES = """
summary = "warm up, then train"
[[stages]]
name = "first"
type = "rl"
[[stages]]
name = "second"
type = "rl"
group_size = 4
"""


def resolve_grpo(*overrides: str, recipe: str = "grpo", **choice: object):
    settings = {"model": "some/model", "data": "folder", "overrides": overrides, **choice}
    return resolve(load_recipe(recipe), Choice(**settings), Machine(), lambda percent: None)


def refusal(*overrides: str, **choice: object) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve_grpo(*overrides, **choice)
    return str(caught.value)


def test_an_unknown_recipe_names_the_ones_near_it():
    with pytest.raises(ConfigError, match=r"no recipe named 'dappo'\. Did you mean dapo\?"):
        load_recipe("dappo")


def test_a_recipe_file_that_is_not_there():
    with pytest.raises(ConfigError, match=r"there is no file mine\.toml"):
        load_recipe("mine.toml")


def test_a_recipe_file_that_is_not_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("summary = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_recipe(path)


def test_a_recipe_of_your_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TWO_STAGES)
    recipe = load_recipe(path)
    assert recipe.name == "mine"
    assert [stage.group_size for stage in recipe.stages] == [8, 4]


def test_two_stages_of_one_name_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TWO_STAGES.replace("second", "first"))
    with pytest.raises(ConfigError, match="two stages are named first"):
        load_recipe(path)


def test_a_recipe_without_stages_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('summary = "nothing"\nstages = []\n')
    with pytest.raises(ConfigError, match="there is no stage"):
        load_recipe(path)


def test_a_preset_for_a_stage_that_is_not_there(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TWO_STAGES + "[presets.small.stages.third]\ngroup_size = 2\n")
    with pytest.raises(ConfigError, match="preset 'small' changes third"):
        load_recipe(path)


def test_rl_is_ambiguous_with_two_rl_stages(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TWO_STAGES)
    assert "has 2 RL stages. Name the one you mean: first, second" in refusal(
        "rl.max_steps=4", recipe=str(path)
    )
    run = resolve_grpo("second.max_steps=4", recipe=str(path))
    assert [stage.max_steps for stage in run.stages] == [None, 4]


def test_overrides_change_nested_settings():
    run = resolve_grpo("rl.loss.clip_high=0.28", "rl.rewards.1.weight=0.1", "heldout.samples=2")
    assert run.stages[0].loss.clip_high == 0.28
    assert run.stages[0].loss.clip_low == 0.2
    assert [reward.weight for reward in run.stages[0].rewards] == [1.0, 0.1]
    assert run.heldout.samples == 2


def test_another_member_of_a_union_by_override():
    run = resolve_grpo("rl.loss.clip_low=0.001", "rl.loss.type=sequence_ratio")
    assert run.stages[0].loss.type == "sequence_ratio"
    assert run.stages[0].loss.clip_low == 0.001


def test_an_unknown_setting_names_the_ones_near_it():
    assert "rl.weigth: there is no such setting. Did you mean weight?" in refusal("rl.weigth=1")


def test_an_unknown_setting_of_a_union_member_names_its_settings():
    message = refusal("rl.weight.type=uncertainty", "rl.weight.sigmaa=1.2")
    assert "rl.weight.sigmaa: there is no such setting. Did you mean sigma?" in message


def test_a_wrong_value_is_shown_with_its_path():
    message = refusal("rl.group_size=many", "rl.sampling.temperature=-1")
    assert "rl.group_size: Input should be a valid integer" in message
    assert "(given: 'many')" in message
    assert "rl.sampling.temperature: Input should be greater than or equal to 0" in message


def test_an_unknown_section():
    assert "recipe 'grpo' has no such section. It has: budget, heldout, rl" in refusal(
        "x.max_steps=4"
    )


def test_a_group_of_one_is_refused_when_the_config_is_built():
    assert "group_size is 1, but a group's advantages compare" in refusal("rl.group_size=1")


def test_an_unknown_preset_and_an_unknown_machine():
    assert "has no preset 'tinny'. Did you mean tiny?" in refusal(preset="tinny")
    assert "no hardware preset '1x80gb'" in refusal(hardware="1x80gb")


def test_a_floor_from_a_probe_needs_a_probe():
    message = refusal(recipe="observe_r1", preset="tiny")
    assert "rl.bonus.floor is 'p25'" in message
    assert "observe-r1 data probe" in message


def test_a_preset_is_chosen_by_the_models_name():
    recipe = load_recipe("observe_r1")
    assert choose_preset(recipe, "tiny") == "tiny"
    assert choose_preset(recipe, "checkpoints/tiny/") == "tiny"
    assert choose_preset(recipe, "Qwen/Qwen2.5-VL-3B-Instruct") == "full"
