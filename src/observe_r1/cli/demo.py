"""``observe-r1 demo``: a vision-language model learns, on this machine, while you watch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import Stopped, complain, err, finish, print_table, progress, say

if TYPE_CHECKING:
    from observe_r1.cli.console import Tick
    from observe_r1.eval.paired import Gain
    from observe_r1.eval.scores import Scores
    from observe_r1.stages.demo import DemoResult


def demo(
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; the next free runs/demo without.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the puzzles, the probe and the run.")] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="RL.KEY=VALUE", help="Changed settings of the recipe."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Built-in model and puzzles: ladder, training, before and after, report. About six minutes."""
    from observe_r1.stages.demo import Demo, DemoSizes

    out = out or _free_folder(Path("runs/demo"))
    sizes = DemoSizes(overrides=tuple(overrides or ()))
    say("recipe observe_r1, preset tiny: model tiny, puzzles of its mix")
    try:
        result = Demo(out=out, sizes=sizes, seed=seed, watch=_watch).run()
    except KeyboardInterrupt:
        raise Stopped(
            f"What there is so far is in {out}. Start again with: observe-r1 demo"
        ) from None
    gains = _gains(result)
    _print_result(result, gains)
    finish(_as_json(result, gains), json)


@contextmanager
def _watch(name: str, total: int | None) -> "Iterator[Tick]":
    """A bar on a terminal; elsewhere a line at the beginning of each part."""
    if not err.is_terminal:
        complain(f"{name} ({total:,})" if total else name)
    with progress(name, total) as tick:
        yield tick


def _free_folder(wanted: Path) -> Path:
    """``runs/demo``, else ``runs/demo-2`` and so on: nothing is overwritten."""
    number = 1
    folder = wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def _gains(result: "DemoResult") -> "dict[str, Gain]":
    from observe_r1.eval.paired import paired_gain
    from observe_r1.stages.demo import predictions

    return {
        name: paired_gain(
            predictions(result.run, f"before{suffix}"), predictions(result.run, f"after{suffix}")
        )
        for name, suffix in (("sampled", ""), ("greedy", "-greedy"))
    }


def _print_result(result: "DemoResult", gains: "dict[str, Gain]") -> None:
    for name, suffix in (("sampled", ""), ("greedy", "-greedy")):
        before, after = result.scores[f"before{suffix}"], result.scores[f"after{suffix}"]
        answers = f"{before.samples_per_question} a question" if not suffix else "the most probable"
        title = f"\nheld-out puzzles, {name} answers ({answers})"
        print_table(title, ["", "before", "after", "change"], _rows(before, after))
        gain = gains[name]
        say(
            f"gain {100 * gain.value:+.1f} points, 95 % interval "
            f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] over {gain.num_questions} questions"
        )
    share = _from_thinking(result)
    if share is not None:
        say(f"of the sampled gain, {100 * share:.0f} % is better answers, the rest better form")
    total = sum(result.seconds.values())
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
    say(f"\ntime {total:.0f} s: {parts}")
    say(f"model   {result.run / 'checkpoints' / 'latest'}")
    say(f"report  {result.report}")
    say(f"next    observe-r1 view {result.run}")


def _rows(before: "Scores", after: "Scores") -> list[list[str]]:
    from observe_r1.cli.scores_table import score_rows

    rows = []
    for label, first, second in score_rows([before, after]):
        if label not in ("questions", "answers a question"):
            rows.append([label, first, second, _change(first, second)])
    return rows


def _change(first: str, second: str) -> str:
    """The difference of the numbers two cells begin with."""
    try:
        return f"{float(second.split()[0]) - float(first.split()[0]):+.1f}"
    except ValueError:
        return ""


def _from_thinking(result: "DemoResult") -> float | None:
    from observe_r1.eval.paired import share_from_thinking

    numbers = []
    for name in ("before", "after"):
        scores = result.scores[name]
        numbers += [scores.format_valid.value, scores.accuracy_well_formed.value]
    if any(number is None for number in numbers):
        return None
    return share_from_thinking(*numbers)


def _as_json(result: "DemoResult", gains: "dict[str, Gain]") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "run": str(result.run),
        "report": str(result.report),
        "seconds": result.seconds,
        "gain": {name: asdict(gain) for name, gain in gains.items()},
        "gain_from_better_answers": _from_thinking(result),
        "scores": {name: scores.to_dict() for name, scores in result.scores.items()},
    }
