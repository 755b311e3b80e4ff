"""``observe-r1 train``: run a recipe into a run folder, or show what it would do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import finish, say
from observe_r1.cli.recipes import print_deviations

if TYPE_CHECKING:
    from observe_r1.config.run import RunConfig
    from observe_r1.recipes.machine import Machine


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="STAGE.KEY=VALUE", help="Changed settings: rl.max_steps=4."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="A data folder, or the built-in 'puzzles'.")
    ] = "puzzles",
    model: Annotated[
        str, typer.Option(help="A checkpoint folder, a hub name, or the built-in 'tiny'.")
    ] = "tiny",
    out: Annotated[Path | None, typer.Option(help="The run folder to write.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of every stage; rl.seed=1 is that of one.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A preset of the recipe; chosen by the model without.")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option(help="A machine preset, or none; chosen by the machine without.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show settings and sizes, and stop.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Train a model with a recipe."""
    from observe_r1.recipes import load_recipe
    from observe_r1.recipes.machine import detect_machine, used_by_this_run
    from observe_r1.recipes.resolve import Choice, resolve
    from observe_r1.stages.pipeline import hardware_of
    from observe_r1.stages.questions import correct_length
    from observe_r1.train.launch import is_alone, read_launch

    if resume and out is not None:
        hardware = hardware or hardware_of(out)
    there = detect_machine()
    machine = used_by_this_run(there)
    found = load_recipe(recipe)
    seeds = () if seed is None else (f"{stage.name}.seed={seed}" for stage in found.stages)
    choice = Choice(
        model=model, data=data, preset=preset, hardware=hardware,
        overrides=(*seeds, *(overrides or ())),
    )  # fmt: skip
    run = resolve(found, choice, machine, lambda percent: correct_length(data, percent))
    if not dry_run:
        out = _writable(run, out, resume)
    say(headline(run, machine))
    print_deviations(run.deviations)
    if (note := read_launch().note) is not None:
        say(note)
    if machine.num_gpus < there.num_gpus and is_alone():
        say(
            f"{there.num_gpus} GPUs are here, and one process uses one. For all: "
            f"{_launcher(model, there)} -m observe_r1.cli.main train …; see docs/clusters.md."
        )
    if dry_run:
        from observe_r1.stages.check import check_inputs

        plan = _show_plan(run)
        check_inputs(run)  # what a run would be refused for; its settings are shown all the same
        finish(plan, json)
        return
    assert out is not None  # checked where the run was
    from observe_r1.cli.running import train_into

    finish(train_into(run, out, resume), json)


def _launcher(model: str, machine: "Machine") -> str:
    """Full training on all of the GPUs is of shared-out weights; adapters fit each."""
    from observe_r1.recipes.hardware import choose_hardware

    chosen = choose_hardware(model, machine)
    is_full = chosen is None or chosen.mode == "full"
    how = "--use_fsdp --fsdp_version 2" if is_full else "--multi_gpu"
    return f"accelerate launch {how} --num_processes {machine.num_gpus}"


def headline(run: "RunConfig", machine: "Machine") -> str:
    """The first line of output: which presets were chosen, for which model and machine."""
    hardware = f", hardware {run.hardware}" if run.hardware else ""
    return (
        f"recipe {run.recipe}, preset {run.preset}{hardware}: "
        f"model {run.model}, data {run.data}, {machine}"
    )


def _show_plan(run: "RunConfig") -> dict[str, Any]:
    from observe_r1.config.show import setting_lines
    from observe_r1.recipes.estimate import estimate

    num_samples = _count_questions(run.data)
    plans = {}
    for stage in run.active_stages:
        say(f"\nstage {stage.name} ({stage.type})")
        for line in setting_lines(stage):
            say(f"  {line}")
        if stage.type != "rl":
            continue
        asked = _at_most(num_samples, stage.questions.count)
        sizes = estimate(run, stage, _weights_folder(run.model), asked)
        plans[stage.name] = sizes
        say(f"\n  {_size_lines(sizes)}")
    return {
        "config": run.model_dump(mode="json"),
        "questions": num_samples,
        "estimates": {name: _as_dict(sizes) for name, sizes in plans.items()},
    }


def _at_most(num_samples: int | None, count: int | None) -> int | None:
    known = [number for number in (num_samples, count) if number is not None]
    return min(known, default=None)


def _size_lines(sizes: Any) -> str:
    steps = "until stopped" if sizes.steps is None else f"{sizes.steps:,}"
    lines = [
        f"steps               {steps}",
        f"completions a step  {sizes.completions_per_step:,}",
        f"tokens a step       at most {sizes.max_generated_tokens_per_step:,} generated",
    ]
    if sizes.max_generated_tokens is not None:
        lines.append(f"tokens in all       at most {sizes.max_generated_tokens:,} generated")
    if sizes.memory_gb is None:
        lines.append("memory              unknown: neither files nor name tell the model's size")
    else:
        parts = ", ".join(f"{name} {gb:.2g}" for name, gb in sizes.memory_gb.items() if gb > 0)
        lines.append(
            f"memory              about {sizes.total_memory_gb:.2g} GB over all GPUs "
            f"(rule of thumb; {parts})"
        )
    return "\n  ".join(lines)


def _as_dict(sizes: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(sizes), "total_memory_gb": sizes.total_memory_gb}


def _weights_folder(model: str) -> str:
    """Where a model's files are, for telling its size; the name itself when it is on the hub."""
    if model != "tiny":
        return model
    from importlib.resources import files

    return str(files("observe_r1").joinpath("assets", "tiny"))


def _count_questions(data: str) -> int | None:
    from observe_r1.stages.questions import load_questions

    return len(load_questions(data))


def _writable(run: "RunConfig", out: Path | None, resume: bool) -> Path:
    """The run folder, once it is certain that the run can start in it."""
    from observe_r1.errors import ConfigError
    from observe_r1.stages.environment import is_main_process
    from observe_r1.stages.pipeline import check_can_start

    if out is None:
        raise ConfigError("no run folder was given. Say where to write: --out runs/NAME.")
    if is_main_process():
        check_can_start(run, out, resume)
    return out
