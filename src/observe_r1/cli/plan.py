"""``observe-r1 plan``: what a recipe would need on a given machine."""

from typing import Annotated

import typer


def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")],
    model: Annotated[str, typer.Option(help="A checkpoint folder or hub name.")],
    gpus: Annotated[int, typer.Option(help="How many GPUs.", min=1)],
    gpu: Annotated[str, typer.Option(help="Which GPU, for example h100-80gb.")],
) -> None:
    """Memory, step time and what fits, for a model on a number of GPUs."""
    from observe_r1.errors import ConfigError

    raise ConfigError(
        f"'plan' for {gpus} × {gpu} is not part of this version; it arrives with scale. "
        f"For sizes by rule of thumb: observe-r1 train {recipe} --model {model} --dry-run."
    )
