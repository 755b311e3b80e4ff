"""What commands print: text on stdout, errors and progress on stderr, one JSON object at the end.

Progress bars are drawn on stderr, only on a terminal, and only for what takes a while; a log file
gets plain lines.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

IS_SECOND = os.environ.get("RANK", "0") != "0"
"""One of several processes of a launcher, and not the first: the first one talks for all."""

out = Console(highlight=False, soft_wrap=True, quiet=IS_SECOND)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Item = TypeVar("Item")


class Stopped(Exception):
    """Ctrl-C in a command that can go on; says how. No user error: the status is another."""


class Tick(Protocol):
    """Told how many more things are done, and what to show beside the bar."""

    def __call__(self, done: int = 1, note: str = "") -> None: ...


def say(text: str = "") -> None:
    """One plain line: no markup is read in it, so a path with brackets prints as it is."""
    out.print(text, markup=False)


def complain(text: str) -> None:
    """An error or a warning."""
    err.print(text, markup=False)


def print_json(result: Mapping[str, Any]) -> None:
    """The result of a command as the last line of stdout."""
    sys.stdout.flush()
    sys.stdout.write(json.dumps(result, ensure_ascii=True, default=str) + "\n")
    sys.stdout.flush()


def finish(result: Mapping[str, Any], as_json: bool) -> None:
    if as_json and not IS_SECOND:
        print_json(result)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], num_text_columns: int = 1
) -> None:
    """A table whose first columns are text and whose others are numbers.

    On a narrow terminal the text gives way, never a number; a file or a pipe gets the whole width.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        justify = "left" if place < num_text_columns else "right"
        is_number = place >= num_text_columns
        table.add_column(column, justify=justify, overflow="fold", no_wrap=is_number)
    for row in rows:
        table.add_row(*map(escape, row))
    is_piped = not out.is_terminal and "COLUMNS" not in os.environ
    out.print(table, width=1000 if is_piped else None)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Tick]:
    """A bar with speed and time left on a terminal; silence elsewhere.

    Example:
        with progress("probing", len(samples)) as tick:
            for sample in samples:
                ...
                tick()
    """
    if IS_SECOND or not err.is_terminal:
        yield lambda done=1, note="": None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=err, transient=True, expand=True) as bar:
        task_id = bar.add_task(what, total=total, speed="", note="")

        def tick(done: int = 1, note: str = "") -> None:
            bar.advance(task_id, done)
            task = next(t for t in bar.tasks if t.id == task_id)
            speed = f"{task.speed:.2g}/s" if task.speed else ""
            bar.update(task_id, speed=speed, note=note)

        yield tick
