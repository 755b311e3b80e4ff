"""``observe-r1 recipes``: the list, or one recipe as it resolves."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import finish, print_table, say

if TYPE_CHECKING:
    from observe_r1.config.run import Recipe


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="One recipe, by name or as a .toml file; all without.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """List the recipes with their papers and status, or show one in full."""
    from observe_r1.recipes import load_recipe, names

    if name is None:
        found = [load_recipe(known) for known in names()]
        _print_list(found)
        _print_measured(found)
        say("\nOne of them in full: observe-r1 recipes NAME")
        finish({"recipes": [_summary(recipe) for recipe in found]}, json)
        return
    recipe = load_recipe(name)
    _print_one(recipe)
    finish(recipe.model_dump(mode="json"), json)


def _summary(recipe: "Recipe") -> dict[str, Any]:
    fields = {"name", "summary", "status", "evidence", "deviations", "paper"}
    from dataclasses import asdict

    from observe_r1.recipes.results import measured, stage_diagram

    presets = {name: preset.summary for name, preset in recipe.presets.items()}
    result = measured(recipe.name)
    return {
        **recipe.model_dump(mode="json", include=fields),
        "presets": presets,
        "stages": stage_diagram(recipe),
        "measured": None if result is None else asdict(result),
    }


def _print_list(found: list["Recipe"]) -> None:
    print_table(
        "recipes",
        ["name", "arXiv", "status", "what it does"],
        [(r.name, (r.paper.arxiv if r.paper else None) or "-", r.status, r.summary) for r in found],
        num_text_columns=4,
    )


def _print_measured(found: list["Recipe"]) -> None:
    """Stages and, of the committed experiments, what the method did on the built-in model."""
    from observe_r1.experiments.plan import experiment_names
    from observe_r1.recipes.results import measured, stage_types, verdict_of

    rows, experiments = [], experiment_names()
    for recipe in found:
        result = measured(recipe.name)
        numbers = ("-",) * 4
        if result is not None:
            numbers = (
                _shown(result.accuracy, 100, ".1f", "%"), _shown(result.length, 1, ".0f"),
                _shown(result.rollouts, 1, ",.0f"), result.minutes,
            )  # fmt: skip
        verdict = verdict_of(recipe.name, result, experiments)
        rows.append((recipe.name, stage_types(recipe), verdict, *numbers))
    say("")
    print_table(
        "measured in miniature, the method's own arm",
        ["name", "stages", "claims", "right", "tokens", "rollouts", "minutes"],
        rows,
        num_text_columns=3,
    )


def _shown(value: float | None, factor: float, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value * factor:{form}}{unit}"


def _print_one(recipe: "Recipe") -> None:
    from observe_r1.config.show import setting_lines

    say(f"{recipe.name}: {recipe.summary}")
    if recipe.paper:
        say(f"  paper    {recipe.paper.title} (arXiv {recipe.paper.arxiv})")
        if recipe.paper.code:
            say(f"  code     {recipe.paper.code}")
    say(f"  status   {recipe.status}" + (f": {recipe.evidence}" if recipe.evidence else ""))
    print_deviations(recipe.deviations)
    for preset_name, preset in recipe.presets.items():
        models = f" (for {', '.join(preset.models)})" if preset.models else ""
        say(f"  preset   {preset_name}{models}: {preset.summary}")
    for stage in recipe.stages:
        say(f"\nstage {stage.name} ({stage.type})")
        for line in setting_lines(stage):
            say(f"  {line}")


def print_deviations(deviations: tuple[str, ...]) -> None:
    """What differs from the paper, one line each."""
    if deviations:
        say("  differs from the paper:")
    for deviation in deviations:
        say(f"    - {deviation}")
