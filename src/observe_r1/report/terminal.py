"""The viewer for servers: curves as small plots, and the latest group as text.

Model text is stripped of control characters: printed as it is, it could move the cursor, retitle
the window or hide itself.
"""

import itertools
import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from observe_r1.report import rows
from observe_r1.report.findings import examine, gather
from observe_r1.report.groups import read_group
from observe_r1.report.index import Index
from observe_r1.report.run import RunFolder, state

BLOCKS = " ▁▂▃▄▅▆▇█"
PLOTTED = (
    "accuracy",
    "format",
    "reward",
    "groups/zero_weight",
    "length",
    "length_correct",
    "length_wrong",
    "entropy",
    "kl",
    "grad_norm",
    "curriculum/rung",
    "timing/step",
)
SHOWN_CHARACTERS = 600
SHOWN_COMPLETIONS = 4
TONE_STYLES = {"serious": "bold red", "warning": "yellow", "note": "dim", "good": "green"}
TAG_STYLES = {"observe": "blue", "think": "magenta", "answer": "bold green"}


def render_run(run: RunFolder, index: Index, width: int = 30) -> RenderableType:
    """The whole view, as something rich can print or redraw."""
    now = state(run)
    parts: list[RenderableType] = [Text.assemble((safe(run.name), "bold"), "  ", now["text"])]
    parts += [Text(safe(note), style="dim") for note in run.notes]
    parts += [Text(safe(problem), style="yellow") for problem in run.problems]
    parts.append(_plots(run, width))
    parts.append(_findings(run, index))
    if index.num_groups:
        parts.append(_latest(run, index))
    return Group(*parts)


def _plots(run: RunFolder, width: int) -> RenderableType:
    names = [name for name in PLOTTED if run.metrics.values(name)]
    names += [n for n in run.metrics.columns if n.startswith("rewards/") and run.metrics.values(n)]
    panels = [
        Panel(
            plot([v for _, v in run.metrics.values(name)], width),
            title=Text(safe(name)),
            expand=False,
        )
        for name in names
    ]
    return Columns(panels) if panels else Text("No metrics yet.", style="dim")


def plot(values: list[float], width: int, height: int = 3) -> Text:
    """A curve in block characters, with its lowest, highest and last value under it.

    Example:
        plot([0.0, 0.5, 1.0], width=3, height=1) draws "▁▅█"
    """
    points = _fit(values, width)
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    # The lowest value is one block high, so that a flat curve is seen too.
    levels = [1 + round((value - low) / span * (height * 8 - 1)) for value in points]
    lines = []
    for row in reversed(range(height)):
        lines.append("".join(BLOCKS[min(max(level - 8 * row, 0), 8)] for level in levels))
    scale = f"{low:.3g} … {high:.3g}   now {values[-1]:.3g}"
    return Text.assemble(("\n".join(lines), "cyan"), "\n", (scale, "dim"))


def _fit(values: list[float], width: int) -> list[float]:
    """Means over equal spans, at most ``width`` of them."""
    if len(values) <= width:
        return values
    edges = [round(place * len(values) / width) for place in range(width + 1)]
    spans = itertools.pairwise(edges)
    return [sum(values[low:high]) / (high - low) for low, high in spans]


def _findings(run: RunFolder, index: Index) -> RenderableType:
    lines = [
        Text.assemble((f"{finding.title}. ", TONE_STYLES[finding.tone]), safe(finding.text))
        for finding in examine(gather(run, index)).findings
    ]
    return Panel(Group(*lines), title="Is it healthy?")


def _latest(run: RunFolder, index: Index) -> RenderableType:
    group = read_group(run.rollouts, index, index.num_groups - 1, SHOWN_CHARACTERS)
    question = run.questions.get(group["sample"])
    asked = safe(rows.shorten(question.text, SHOWN_CHARACTERS)[0] if question else group["sample"])
    gold = safe(question.answer) if question else "–"
    table = Table(show_lines=True, expand=True, box=None, padding=(0, 1))
    for name in ("#", "reward", "text"):
        table.add_column(name, vertical="top")
    for completion in group["completions"][:SHOWN_COMPLETIONS]:
        table.add_row(str(completion["index"] + 1), _earned(completion), colour(completion["text"]))
    left = len(group["completions"]) - SHOWN_COMPLETIONS
    title = f"Latest group: step {group['step']}, {group['correct']} of {group['size']} right"
    parts: list[RenderableType] = [Text(asked, style="bold"), Text(f"gold: {gold}"), table]
    if left > 0:
        parts.append(Text(f"and {left} more", style="dim"))
    return Panel(Group(*parts), title=title)


def _earned(completion: dict[str, Any]) -> Text:
    mark = ("right", "green") if completion["correct"] else ("wrong", "red")
    reward, advantage = completion["reward"], completion["advantage"]
    numbers = f"\n{_short(reward)} · adv {_short(advantage)}\n{completion['tokens']} tokens"
    star = " ★" if (completion["bonus"] or 0) > 0 else ""
    return Text.assemble(mark, star, numbers)


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def colour(text: str) -> Text:
    """A completion with its sections in colour; tags and all, as it was written."""
    shown = Text(safe(text), overflow="fold")
    plain = shown.plain
    for tag, style in TAG_STYLES.items():
        start = plain.find(f"<{tag}>")
        end = plain.find(f"</{tag}>", max(start, 0))
        if start >= 0:
            shown.stylize(style, start, end + len(tag) + 3 if end >= 0 else len(plain))
    return shown


def safe(text: str) -> str:
    """Text a terminal can print: no control, direction or unassigned characters but line breaks."""
    return "".join(_safe_characters(text))


def _safe_characters(text: str) -> Iterable[str]:
    for character in text:
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co"):
            yield character
        else:
            yield "\ufffd"
