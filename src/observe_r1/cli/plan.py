"""``observe-r1 plan``: what a recipe would need on a given machine, and how long a step takes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import finish, print_table, say

if TYPE_CHECKING:
    from observe_r1.recipes.plan.devices import Device
    from observe_r1.recipes.plan.report import Plan
    from observe_r1.recipes.plan.shapes import ModelShape

MEASURED = ("measured", "cpu")
SHOWN_VARIANTS = 6


def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="STAGE.KEY=VALUE", help="Changed settings: rl.group_size=16."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A folder with a config.json, or a name such as Qwen2.5-VL-7B.")
    ] = "tiny",
    gpus: Annotated[int, typer.Option(help="How many GPUs, eight a machine.", min=1)] = 1,
    gpu: Annotated[
        str, typer.Option(help="Which GPU, for example H100; 'measured': this machine.")
    ] = "measured",
    preset: Annotated[
        str | None, typer.Option(help="A preset of the recipe; chosen by the model without.")
    ] = None,
    prompt_tokens: Annotated[
        int, typer.Option(min=1, help="System prompt and question, without the image.")
    ] = 160,
    image_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens of a question's images; 1,024 are 896 × 896 pixels.")
    ] = 1024,
    completion_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean completion; a tenth of the limit without.")
    ] = None,
    longest_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest completion of a batch; 4 × the mean without.")
    ] = None,
    trained_share: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of the groups that have a signal.")
    ] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Memory by part, tokens and seconds of a step, and which settings fit."""
    from observe_r1.config.stages import RLStage
    from observe_r1.recipes import load_recipe
    from observe_r1.recipes.machine import Machine
    from observe_r1.recipes.plan.report import as_json, make_plan, variants
    from observe_r1.recipes.plan.shapes import find_shape
    from observe_r1.recipes.plan.workload import Lengths
    from observe_r1.recipes.resolve import Choice, resolve

    shape, device = find_shape(model), find_device(gpu)
    machine = Machine(gpus, device.memory_gb, device.name)  # vLLM is there if it is wanted
    machine = Machine() if gpu in MEASURED else machine
    choice = Choice(model=model, data="puzzles", preset=preset, overrides=tuple(overrides or ()))
    run = resolve(load_recipe(recipe), choice, machine, lambda percent: 100)
    lengths = Lengths(text=prompt_tokens, image=image_tokens, completion=completion_tokens,
                      longest=longest_tokens)  # fmt: skip
    hardware = f", hardware {run.hardware}" if run.hardware else ""
    say(f"recipe {run.recipe}, preset {run.preset}{hardware}: model {model} "
        f"({shape.parameters / 1e9:.3g} billion parameters), {gpus} × {device.name}")  # fmt: skip
    results: dict[str, Any] = {}
    for stage in run.stages:
        if not isinstance(stage, RLStage):
            say(f"\nstage {stage.name} ({stage.type}): only RL stages are planned")
            continue
        found = make_plan(
            stage, shape, device, gpus=gpus, lengths=lengths, trained_share=trained_share
        )
        others = variants(found, shape, device)
        _show(found, others, shape, device)
        results[stage.name] = as_json(found) | {"variants": [as_json(other) for other in others]}
    finish({"model": shape.name, "parameters": shape.parameters, "gpu": device.name,
            "stages": results}, json)  # fmt: skip


def find_device(gpu: str) -> "Device":
    """A GPU by name, or this machine, measured now."""
    from observe_r1.recipes.plan.devices import find_gpu

    if gpu not in MEASURED:
        return find_gpu(gpu)
    from observe_r1.stages.calibrate import calibrate

    say("measuring this machine, about ten seconds …")
    return calibrate()


def _show(plan: "Plan", others: "list[Plan]", shape: "ModelShape", device: "Device") -> None:
    from observe_r1.recipes.plan.report import advice

    work, settings = plan.work, plan.settings
    say(f"\nstage {plan.stage.name}: trained {settings['trained']} "
        f"({plan.trained / 1e9:.3g} billion), weights {settings['weights']}, "
        f"checkpointing {settings['checkpointing']}, engine {settings['engine']}")  # fmt: skip
    say(f"  a step: {plan.stage.prompts_per_step} prompts of {work.lengths.prompt:,} tokens × "
        f"{work.group} completions of {work.completion:,} (longest {work.longest:,}); "
        + ", ".join(f"{name} {count:,.0f}" for name, count in plan.tokens.items()))  # fmt: skip
    print_table("\nMemory of a GPU, GB", ("part", "GB"),
                [*((name, f"{gb:.3g}") for name, gb in plan.memory.parts.items()),
                 ("at most at once", f"{plan.memory.total:.3g}"),
                 ("there is", f"{device.memory_gb:.3g}")])  # fmt: skip
    verdict = "fits" if plan.fits else "DOES NOT FIT"
    say(f"  {verdict}: {plan.memory.total:.3g} of {plan.usable_gb:.3g} usable GB")
    print_table("\nSeconds of a step", ("phase", "seconds"),
                [*((name, f"{seconds:.3g}") for name, seconds in plan.phases.items()),
                 ("all", f"{plan.seconds:.3g}")])  # fmt: skip
    rate = plan.tokens["generated"] / plan.seconds
    say(f"  {3600 / plan.seconds:,.0f} steps an hour, {rate:,.0f} generated tokens a second")
    say(f"  {advice(plan)}")
    _show_variants(plan, others)
    _say_source(device)


def _show_variants(plan: "Plan", others: "list[Plan]") -> None:
    from observe_r1.recipes.plan.report import overrides_of

    fitting = [other for other in others if other.fits]
    rows = [
        (*other.settings.values(), f"{other.memory.total:.3g}", f"{other.seconds:.3g}")
        for other in fitting[:SHOWN_VARIANTS]
    ]
    columns = ("trained", "weights", "checkpointing", "engine", "GB", "seconds")
    print_table("\nWhat fits, the fastest first", columns, rows, num_text_columns=4)
    say(f"  {len(fitting)} of {len(others)} settings fit")
    if not plan.fits and fitting:
        best = fitting[0]
        changes = " ".join(overrides_of(best, plan.stage)) or "nothing in the recipe"
        launch = ", launched with --use_fsdp --fsdp_version 2" if best.layout.sharded else ""
        say(f"  to fit, add: {changes}{launch}")


def _say_source(device: "Device") -> None:
    source = getattr(device, "source", None)
    if source:
        say(f"  {device.name}: {source}; efficiencies measured by others, see docs/scale.md")
    else:
        threads = getattr(device, "threads", 1)
        say(f"  this machine, measured just now with {threads} threads")
