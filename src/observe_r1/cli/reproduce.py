"""``observe-r1 reproduce``: the claims of a method, tested."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import Stopped, complain, err, finish, print_table, progress, say

if TYPE_CHECKING:
    from observe_r1.experiments.bases import Base
    from observe_r1.experiments.plan import Experiment
    from observe_r1.experiments.trial import Trial


def reproduce(
    name: Annotated[
        str, typer.Argument(help="An experiment, for example observe_r1, or a TOML file.")
    ],
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
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST-LAST",
            help="Only these seeds: another machine takes others, and the trials folders of all "
            "are copied together.",
        ),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(help="A result of the same experiment: its trials are not run again."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Test the claims of a method: arms, seeds, intervals, verdicts. Stop and start as you like."""
    from observe_r1.errors import ConfigError
    from observe_r1.experiments.known import take_known
    from observe_r1.experiments.plan import load_experiment
    from observe_r1.experiments.running import run_experiment, trials_of, write_results
    from observe_r1.records import read_json
    from observe_r1.train.launch import is_alone

    if not is_alone():
        raise ConfigError(
            "reproduce was started by a launcher, but it runs its trials side by side by itself, "
            "each in one process. Start it once, with --jobs; on several GPUs once a GPU, each "
            "with a CUDA_VISIBLE_DEVICES of its own, all with the same --out."
        )
    experiment = load_experiment(name)
    experiment = experiment.shortened() if quick else experiment
    out = out or Path("runs/reproduce") / f"{experiment.name}{'-quick' if quick else ''}"
    if known is not None:
        say(f"{take_known(experiment, known, out)} trials are known from {known}")
    chosen = None if seeds is None else parse_seeds(seeds)
    trials = [t for t in trials_of(experiment) if chosen is None or t.seed in chosen]
    say(f"{experiment.title} {len(trials)} trials of {len(experiment.arms)} arms, in {out}")
    try:
        base = _make_base(experiment, out)
        with progress("trials", len(trials)) as tick:

            def notify(trial: "Trial", result: dict[str, Any]) -> None:
                line = f"{trial.arm} seed {trial.seed}: {_headline(result)}"
                tick(1, line)
                if not err.is_terminal:
                    complain(line)

            found = run_experiment(experiment, out, jobs=jobs, notify=notify, seeds=chosen)
    except KeyboardInterrupt:
        raise Stopped(f"Finished trials are in {out}; the same command goes on.") from None
    path = write_results(
        experiment, found, results or out, quick=quick, base=base, jobs=jobs, trials=out
    )
    result = read_json(path)
    _print(result)
    say(f"wrote {path} and {path.with_suffix('.md')}")
    finish(result, json)


def parse_seeds(text: str) -> range:
    """``0-4``, or ``3`` alone.

    Example:
        parse_seeds("0-4") == range(0, 5)
    """
    from observe_r1.errors import ConfigError

    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) < int(first):
        raise ConfigError(f"--seeds {text} names no seeds. Write the first and the last: 0-4.")
    return range(int(first), int(last or first) + 1)


def _make_base(experiment: "Experiment", out: Path) -> "Base | None":
    from observe_r1.experiments.running import base_of

    if experiment.base is not None:
        say(f"base {experiment.base}, from {experiment.model}: made once, in no arm's budget")
    base = base_of(experiment, out)
    if base is not None:
        say(f"  {base.folder}: {base.costs.seconds:.0f} s, {base.costs.updated:,.0f} tokens")
    return base


def _headline(result: dict[str, Any]) -> str:
    """The number that a trial is watched by: accuracy, else its first held-out loss."""
    if "accuracy" in result:
        return f"right {100 * result['accuracy']:.1f}%"
    losses = [f"{name} {value:.3f}" for name, value in result.items() if name[:5] == "loss/"]
    return ", ".join(losses) or "done"


def _print(result: dict[str, Any]) -> None:
    rows = []
    for row in result["claims"]:
        shown = "-" if row["effect"] is None else f"{row['effect']:+.3f} {row['metric']}"
        interval = "-" if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        rows.append((row["claim"], row["verdict"], shown, interval, str(row["seeds"])))
    title = "quick form: it decides little" if result["quick"] else "claims"
    print_table(title, ["claim", "verdict", "effect", "95 %", "seeds"], rows, num_text_columns=2)
