"""``observe-r1 reproduce``: the claims of a method, tested."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import Stopped, complain, err, finish, print_table, progress, say

if TYPE_CHECKING:
    from observe_r1.experiments.trial import Trial


def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment, for example observe_r1.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Few arms, seeds and steps: minutes, decides little.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where trials are kept; runs/reproduce/NAME without.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where the result is written; in --out without.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at the same time.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Test the claims of a method: arms, seeds, intervals, verdicts. Stop and start as you like."""
    from observe_r1.experiments.plan import load_experiment
    from observe_r1.experiments.running import run_experiment, trials_of, write_results
    from observe_r1.records import read_json

    experiment = load_experiment(name)
    experiment = experiment.shortened() if quick else experiment
    out = out or Path("runs/reproduce") / (f"{name}-quick" if quick else name)
    trials = trials_of(experiment)
    say(f"{experiment.title} {len(trials)} trials of {len(experiment.arms)} arms, in {out}")
    try:
        with progress("trials", len(trials)) as tick:

            def notify(trial: "Trial", result: dict[str, Any]) -> None:
                line = f"{trial.arm} seed {trial.seed}: right {100 * result['accuracy']:.1f}%"
                tick(1, line)
                if not err.is_terminal:
                    complain(line)

            found = run_experiment(experiment, out, jobs=jobs, notify=notify)
    except KeyboardInterrupt:
        raise Stopped(f"Finished trials are in {out}; the same command goes on.") from None
    path = write_results(experiment, found, results or out, quick=quick)
    result = read_json(path)
    _print(result)
    say(f"wrote {path} and {path.with_suffix('.md')}")
    finish(result, json)


def _print(result: dict[str, Any]) -> None:
    rows = []
    for row in result["claims"]:
        shown = "-" if row["effect"] is None else f"{row['effect']:+.3f} {row['metric']}"
        interval = "-" if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        rows.append((row["claim"], row["verdict"], shown, interval, str(row["seeds"])))
    title = "quick form: it decides little" if result["quick"] else "claims"
    print_table(title, ["claim", "verdict", "effect", "95 %", "seeds"], rows, num_text_columns=2)
