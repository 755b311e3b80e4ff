"""``observe-r1 export``: what leaves a run folder, for other programs."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from observe_r1.cli.console import finish, say

app = typer.Typer(
    help="Write a trained model, or a recipe, for other programs.", no_args_is_help=True
)


@app.command("model")
def export_model(
    run: Annotated[Path, typer.Argument(help="A run folder, or a checkpoint folder in it.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge adapters into the weights.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Copy the trained model with its processor and chat template, ready for from_pretrained."""
    from observe_r1.stages.export_model import export_checkpoint

    result: dict[str, Any] = export_checkpoint(run, out, merge=merge)
    say(f"wrote {out}: load it with from_pretrained, or --model {out}")
    finish(result, json)


@app.command("traces")
def export_traces(
    traces: Annotated[
        Path, typer.Argument(help="A folder with traces.jsonl, or a run that wrote traces.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write chats.json and images into.")],
    rejected: Annotated[
        Path | None, typer.Option(help="Traces of the worse side: preference pairs are written.")
    ] = None,
    form: Annotated[
        Literal["sharegpt", "messages"],
        typer.Option(help="Turns with markers for images, or OpenAI's parts as TRL reads them."),
    ] = "sharegpt",
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Write traces as chats with images (JSON), for other trainers."""
    from observe_r1.stages.export_traces import export_chats, in_words

    result: dict[str, Any] = export_chats(traces, out, rejected=rejected, form=form)
    say(f"wrote {result['chats']}: {result['rows']} rows")
    if left_out := result["left_out"]:
        say(f"left out {sum(left_out.values())}: {in_words(left_out)}")
    finish(result, json)


@app.command("verl")
def export_verl(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="STAGE.KEY=VALUE", help="Changed settings: rl.max_steps=400."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="A data folder, or the built-in 'puzzles'.")
    ] = "puzzles",
    model: Annotated[
        str, typer.Option(help="A checkpoint folder, a hub name, or the built-in 'tiny'.")
    ] = "tiny",
    out: Annotated[Path | None, typer.Option(help="The folder to write.")] = None,
    stage: Annotated[
        str | None, typer.Option(help="The RL stage, of a recipe that has other stages too.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A preset of the recipe; chosen by the model without.")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option(help="A machine preset, for example 8x80gb-full-3b.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines of the cluster.")] = 1,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of each machine.")] = 8,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Write a folder that starts the recipe on a Ray cluster with verl."""
    from observe_r1.cli.console import progress
    from observe_r1.errors import ConfigError
    from observe_r1.integrations.verl.export import Order, export, refuse_early
    from observe_r1.integrations.verl.settings import Cluster
    from observe_r1.recipes import load_recipe
    from observe_r1.recipes.machine import Machine
    from observe_r1.recipes.resolve import Choice, resolve
    from observe_r1.stages.measure import prepare_held_out
    from observe_r1.stages.questions import choose_questions, correct_length

    if out is None:
        raise ConfigError("no folder was given. Say where to write: --out cluster.")
    choice = Choice(
        model=model, data=data, preset=preset, hardware=hardware, overrides=tuple(overrides or ())
    )
    # The cluster's machines are not this one: a machine preset is chosen by name only.
    run = resolve(
        load_recipe(recipe), choice, Machine(), lambda percent: correct_length(data, percent)
    )
    order = Order(run=run, model=_weights(model), cluster=Cluster(nodes, gpus), stage=stage)
    samples = choose_questions(refuse_early(order, out).questions, data)
    held_out = prepare_held_out(run.heldout, samples, data)
    with progress("questions", len(samples)) as tick:
        written = export(order, samples, held_out, out, lambda count: tick(count, ""))
    plan = written.plan
    say(
        f"wrote {out}: recipe {plan.recipe}, preset {plan.preset}, {plan.questions:,} questions, "
        f"{plan.steps:,} steps of {plan.stage.prompts_per_step} × {plan.stage.group_size}"
    )
    for line in written.differences:
        say(f"  differs from 'observe-r1 train': {line}")
    say(f"  start    {out}/run.sh     (settings of verl: {out}/verl.yaml)")
    finish(
        {
            "out": str(out),
            "steps": plan.steps,
            "questions": plan.questions,
            "prompt_tokens": written.sizes.prompt_tokens,
            "differences": written.differences,
        },
        json,
    )


def _weights(model: str) -> str:
    """What verl loads: a folder by its full path, whole, or a name on the hub."""
    from observe_r1.errors import ModelError
    from observe_r1.stages.models import TINY, locate_model

    found = locate_model(model)
    if found == TINY:
        from importlib.resources import files

        return str(files("observe_r1").joinpath("assets", "tiny"))
    folder = Path(found).expanduser()
    if not folder.exists():
        return found
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{model} holds adapters only, and verl starts from whole weights. Merge them first: "
            f"observe-r1 export model {model} --merge --out MERGED."
        )
    return str(folder.resolve())
