"""From a recipe to the configuration of a run.

    recipe ◀── preset of the model ◀── preset of the machine ◀── overrides of the command line

Each is laid over what stands to its left. What leaves the paper says so in ``deviations``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config.overrides import merge, override_tree
from observe_r1.config.questions import PUZZLES
from observe_r1.config.run import Preset, Recipe, RunConfig
from observe_r1.errors import ConfigError
from observe_r1.recipes.hardware import Hardware, choose_hardware, find_hardware
from observe_r1.recipes.machine import Machine

FULL = "full"
"""The preset of a recipe as it stands: the paper's own scale."""

NO_HARDWARE = "none"
"""Of machine presets: none, whatever the machine."""

SECTIONS = ("heldout", "budget", "tracking")
"""What an override can name beside a stage."""

Stages = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a run is made of, before it is resolved; None lets the model and machine decide.

    Example:
        Choice(model="tiny", data="puzzles", overrides=("rl.max_steps=4",))
    """

    model: str
    data: str
    preset: str | None = None
    hardware: str | None = None
    overrides: Sequence[str] = ()


CorrectLength = Callable[[int], float | None]
"""A percentile of the lengths of the probe's correct completions; None without a probe."""


def resolve(
    recipe: Recipe,
    choice: Choice,
    machine: Machine,
    correct_length: CorrectLength = lambda percent: None,
) -> RunConfig:
    """The configuration of a run of ``recipe`` with one model on one machine."""
    preset_name = choice.preset or choose_preset(recipe, choice.model)
    preset = find_preset(recipe, preset_name)
    hardware = _hardware(choice, preset_name, machine)
    hardware = hardware.for_machine(machine) if hardware else None
    values: dict[str, Any] = {"stages": _stage_values(recipe)}
    changes = _for_data(_without_value(preset.stages), choice.data)
    values = _lay_over(values, changes, f"preset '{preset_name}'")
    if hardware:
        values = _lay_over(values, _for_stages(recipe, hardware), f"hardware '{hardware.name}'")
    values = _override(values, recipe, choice.overrides)
    values = {**values, "stages": _measure_floors(values["stages"], choice.data, correct_length)}
    return build(
        RunConfig,
        {
            "recipe": recipe.name,
            "preset": preset_name,
            "hardware": hardware.name if hardware else None,
            "model": choice.model,
            "data": choice.data,
            "deviations": _deviations(recipe, preset, hardware, choice.overrides),
            "overrides": tuple(choice.overrides),
            **values,
            "stages": [{"name": name, **stage} for name, stage in values["stages"].items()],
        },
        f"recipe '{recipe.name}' with these settings",
    )


def choose_preset(recipe: Recipe, model: str) -> str:
    """The preset that names the model; else the one for every other; else the recipe as it is."""
    stem = model.rstrip("/").rpartition("/")[2].lower()
    for name, preset in recipe.presets.items():
        if stem in {known.lower() for known in preset.models}:
            return name
    for name, preset in recipe.presets.items():
        if "*" in preset.models:
            return name
    return FULL


def find_preset(recipe: Recipe, name: str) -> Preset:
    if name in recipe.presets:
        return recipe.presets[name]
    if name == FULL:
        return Preset()
    raise ConfigError(
        f"recipe '{recipe.name}' has no preset '{name}'."
        f"{did_you_mean(name, {*recipe.presets, FULL}, 'It has')}"
    )


def _hardware(choice: Choice, preset: str, machine: Machine) -> Hardware | None:
    if choice.hardware == NO_HARDWARE:
        return None
    if choice.hardware:
        return find_hardware(choice.hardware)
    return None if preset == "tiny" else choose_hardware(choice.model, machine)


def _stage_values(recipe: Recipe) -> Stages:
    return {stage.name: stage.model_dump(mode="json", exclude={"name"}) for stage in recipe.stages}


def _lay_over(values: dict[str, Any], stages: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        return {**values, "stages": merge(values["stages"], stages)}
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None


def _without_value(changes: Any) -> Any:
    """``"none"`` in a preset stands for no value, as in an override: TOML cannot write it."""
    if isinstance(changes, Mapping):
        return {key: _without_value(value) for key, value in changes.items()}
    return None if changes == "none" else changes


def _for_data(changes: Stages, data: str) -> Stages:
    """A preset's choice of built-in puzzles is for runs on those; of other data the recipe's own
    choice is asked."""
    if data == PUZZLES:
        return changes
    return {
        name: {key: value for key, value in stage.items() if key != "questions"}
        if stage.get("questions", {}).get("source") == PUZZLES
        else stage
        for name, stage in changes.items()
    }


def _for_stages(recipe: Recipe, hardware: Hardware) -> Stages:
    """Of a machine's settings for RL, what concerns each stage: the model trained, the engine."""
    concerns = {"sft": ("policy",), "dpo": ("policy",), "sample": ("engine",)}
    found: Stages = {}
    for stage in recipe.stages:
        keys = hardware.rl.keys() if stage.type == "rl" else concerns.get(stage.type, ())
        found[stage.name] = {key: hardware.rl[key] for key in keys if key in hardware.rl}
    return found


def _override(values: dict[str, Any], recipe: Recipe, texts: Sequence[str]) -> dict[str, Any]:
    names = [stage.name for stage in recipe.stages]
    for section, change in override_tree(texts).items():
        if section in SECTIONS:
            values = {**values, section: merge(values.get(section, {}), change)}
            continue
        stage = section if section in names else _only_rl_stage(section, recipe)
        values = _lay_over(values, {stage: change}, f"override of {section}")
    return values


def _only_rl_stage(section: str, recipe: Recipe) -> str:
    """``rl`` means the one RL stage, whatever its name."""
    rl_stages = [stage.name for stage in recipe.stages if stage.type == "rl"]
    if section == "rl" and len(rl_stages) == 1:
        return rl_stages[0]
    names = [stage.name for stage in recipe.stages]
    if section == "rl" and rl_stages:
        raise ConfigError(
            f"override of rl: recipe '{recipe.name}' has {len(rl_stages)} RL stages. "
            f"Name the one you mean: {', '.join(rl_stages)}."
        )
    raise ConfigError(
        f"override of {section}: recipe '{recipe.name}' has no such section."
        f"{did_you_mean(section, {*names, *SECTIONS}, 'It has')}"
    )


def _measure_floors(stages: Stages, data: str, correct_length: CorrectLength) -> Stages:
    """``bonus.floor = "p25"``: a percentile of the probe's correct lengths becomes a number."""
    measured = {}
    for name, stage in stages.items():
        floor = (stage.get("bonus") or {}).get("floor")
        if isinstance(floor, str) and re.fullmatch(r"p\d{1,2}", floor):
            tokens = correct_length(int(floor[1:]))
            if tokens is None:
                raise ConfigError(_no_floor(f"{name}.bonus.floor", floor, data))
            stage = {**stage, "bonus": {**stage["bonus"], "floor": int(tokens)}}
        measured[name] = stage
    return measured


def _no_floor(setting: str, floor: str, data: str) -> str:
    return (
        f"{setting} is '{floor}', a percentile of the probe's correct lengths, but the questions "
        f"of {data} have not been probed. Measure them with 'observe-r1 data probe', or give a "
        f"number: {setting}=20."
    )


def _deviations(
    recipe: Recipe, preset: Preset, hardware: Hardware | None, overrides: Sequence[str]
) -> tuple[str, ...]:
    inherited = () if preset.replaces_deviations else recipe.deviations
    machine = hardware.deviations if hardware else ()
    changed = tuple(f"{text} (from the command line)" for text in overrides)
    return (*inherited, *preset.deviations, *machine, *changed)
