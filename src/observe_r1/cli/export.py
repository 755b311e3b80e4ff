"""``observe-r1 export``: what leaves a run folder, for other programs."""

from pathlib import Path
from typing import Annotated, Any

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


@app.command("verl")
def export_verl(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="STAGE.KEY=VALUE")] = None,
    data: Annotated[str, typer.Option(help="A data folder.")] = "puzzles",
    model: Annotated[str, typer.Option(help="A checkpoint folder or hub name.")] = "tiny",
    out: Annotated[Path | None, typer.Option(help="The folder to write.")] = None,
) -> None:
    """Write a folder that starts the recipe on a Ray cluster with verl."""
    from observe_r1.errors import ConfigError

    raise ConfigError(
        "'export verl' is not part of this version; it arrives with the cluster integration. "
        "Train on one machine with 'observe-r1 train', or on several with 'accelerate launch'."
    )
