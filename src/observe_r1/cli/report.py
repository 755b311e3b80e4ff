"""``observe-r1 report``, ``view`` and ``compare``: look at run folders."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from observe_r1.cli.console import err, finish, out, print_table, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from observe_r1.report.index import Progress

REFRESH_SECONDS = 2.0


def report(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; report.html in the run without.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Write one self-contained HTML page about a run."""
    from observe_r1.report.pages import write_report

    written = write_report(run, out, progress=_progress())
    size = written.stat().st_size
    say(f"{written}  ({size / 1e6:.1f} MB; opens in any browser, without a network)")
    finish({"run": str(run), "report": str(written), "bytes": size}, json)


def view(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder that holds runs.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Draw in the terminal instead.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="With --terminal: draw once and end.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Look at runs while they train: live pages on this machine, or curves in the terminal."""
    if terminal:
        _view_terminal(run, once, json)
        return
    from observe_r1.report.server import make_server

    with make_server(run, port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        say(f"{address}  (only this machine can open it; Ctrl-C ends it)")
        finish({"run": str(run), "address": address}, json)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("")


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders; each is compared with the first.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write an HTML page with both answers.")] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Compare runs on the same questions: paired differences with intervals."""
    from observe_r1.report.compare import compare_runs
    from observe_r1.report.compare_page import COLUMNS, table_rows, write_comparison
    from observe_r1.report.terminal import safe

    comparison = compare_runs(runs, _progress())
    for problem in comparison.problems:
        say(f"note: {safe(problem)}")
    if comparison.differences:
        for run in comparison.runs:
            say(f"{run.letter}  {safe(run.folder.name)}")
        title = "against A; * = the interval leaves out zero"
        print_table(title, COLUMNS, table_rows(comparison), num_text_columns=2)
    else:
        say("The runs have no questions in common, so nothing can be paired.")
    result = comparison.to_dict()
    if out is not None:
        write_comparison(comparison, out)
        say(f"{out}  (both answers to the questions won and lost)")
        result["page"] = str(out)
    finish(result, json)


def _view_terminal(run: Path, once: bool, json: bool) -> None:
    from observe_r1.report.index import IndexBuilder
    from observe_r1.report.run import open_run, state
    from observe_r1.report.terminal import render_run

    folder = open_run(run)
    builder = IndexBuilder(folder.rollouts)
    if not builder.load():
        builder.update(_progress())
        builder.save()

    def draw() -> "RenderableType":
        nonlocal builder
        now = open_run(run)
        if now.rollouts != builder.path:  # the next stage of the recipe has begun
            builder = IndexBuilder(now.rollouts)
        builder.update()
        return render_run(now, builder.snapshot())

    if once or not out.is_terminal or state(folder)["word"] != "running":
        out.print(draw(), soft_wrap=False)
        finish({"run": str(run), **state(open_run(run))}, json)
        return
    _redraw(run, draw)


def _redraw(run: Path, draw: "Callable[[], RenderableType]") -> None:
    import time

    from rich.live import Live

    from observe_r1.report.run import open_run, state

    with Live(draw(), console=out, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            while state(open_run(run))["word"] == "running":
                time.sleep(REFRESH_SECONDS)
                live.update(draw(), refresh=True)
        except KeyboardInterrupt:
            return


def _progress() -> "Progress":
    """Says on stderr how far the first index of a large run is, where someone reads it."""
    shown = 0

    def tell(done: int, size: int) -> None:
        nonlocal shown
        if size > 100_000_000 and done - shown > size // 20 and err.is_terminal:
            shown = done
            err.print(f"building the index of the rollouts, once: {done / size:.0%}", markup=False)

    return tell
