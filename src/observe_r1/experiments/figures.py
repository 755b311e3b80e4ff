"""Two figures of an experiment's page, as SVG text: no display, no library, small diffs.

effects    each claim's effect in units of the smallest that matters, with its interval
curves     held-out accuracy against generated tokens, mean over seeds, a line an arm
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

INK, FAINT, GRID = "#1f2937", "#6b7280", "#e5e7eb"
COLOURS = ("#0b6e7a", "#c2571a", "#6a4c9c", "#2d7d46", "#b03060", "#836a0c", "#2b62b5", "#6b6f75")
VERDICT_COLOURS = {"holds": "#2d7d46", "does not": "#b03060"}
DASHES = ("", "6 3", "2 3")
WIDTH = 760
FARTHEST = 6.0
"""Effects are drawn up to so many times the smallest that matters."""
GRID_POINTS = 60

Points = Sequence[Sequence[float]]


def effects_figure(claims: Sequence[Mapping[str, Any]]) -> str | None:
    """A row a claim; None where no claim has a smallest effect to measure by."""
    drawn = [c for c in claims if c["effect"] is not None and c["smallest"]]
    if not drawn:
        return None
    left, right, row, top = 330, 20, 34, 40
    height = top + row * len(drawn) + 34

    def x(value: float) -> float:
        held = max(-FARTHEST, min(FARTHEST, value))
        return left + (held + FARTHEST) / (2 * FARTHEST) * (WIDTH - left - right)

    parts = [_text(left, 18, "effect, in units of the smallest that matters", 12, FAINT)]
    for tick in range(-6, 7, 2):
        parts.append(_line(x(tick), top - 8, x(tick), height - 30, GRID if tick else FAINT))
        parts.append(
            _text(x(tick), height - 12, f"{tick:+d}" if tick else "0", 11, FAINT, "middle")
        )
    parts.append(_line(x(1), top - 8, x(1), height - 30, FAINT, "3 3"))
    for place, claim in enumerate(drawn):
        y, unit = top + row * place + row / 2, claim["smallest"]
        colour = VERDICT_COLOURS.get(claim["verdict"], FAINT)
        parts.append(_text(10, y + 4, _short(claim["claim"], 46), 12, INK))
        parts.append(
            _line(x(claim["low"] / unit), y, x(claim["high"] / unit), y, colour, width=2.5)
        )
        parts.append(
            f'<circle cx="{x(claim["effect"] / unit):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
        )
    return _svg(height, parts, "Effects of the claims with their intervals")


def curves_figure(curves: Mapping[str, Sequence[Points]], budget: float | None) -> str | None:
    """A line an arm: the mean over its seeds where all of them have been measured."""
    means = {arm: mean_curve(seeds) for arm, seeds in curves.items() if seeds}
    means = {arm: points for arm, points in means.items() if len(points) > 1}
    if not means:
        return None
    height = max(340, 17 * len(means) + 90)
    frame = _frame_of(means, budget, height)
    parts = [*frame.axes(), _text(frame.left, 14, "held-out accuracy, mean over seeds", 12, FAINT)]
    for place, (arm, points) in enumerate(means.items()):
        colour, dash = COLOURS[place % 8], DASHES[place // 8 % 3]
        drawn = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{drawn}" {_stroke(colour, 1.8, dash)} fill="none"/>')
        y = frame.top + 17 * place + 8
        parts.append(_line(frame.right + 12, y, frame.right + 34, y, colour, dash, 2))
        parts.append(_text(frame.right + 40, y + 4, _short(arm, 22), 12, INK))
    return _svg(height, parts, "Learning curves of all arms")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where values lie in the drawing."""

    left: float
    right: float
    top: float
    bottom: float
    last: float
    """The value at the right end; at the left it is nought."""
    low: float
    high: float

    def x(self, value: float) -> float:
        return self.left + value / self.last * (self.right - self.left)

    def y(self, value: float) -> float:
        share = (self.high - value) / (self.high - self.low)
        return self.top + share * (self.bottom - self.top)

    def axes(self) -> list[str]:
        parts = [_text(self.left, self.bottom + 38, "tokens generated", 11, FAINT)]
        for tick in range(5):
            value, across = self.low + (self.high - self.low) * tick / 4, self.last * tick / 4
            y = self.y(value)
            parts.append(_line(self.left, y, self.right, y, GRID))
            parts.append(_text(self.left - 6, y + 4, f"{100 * value:.0f} %", 11, FAINT, "end"))
            label = f"{across / 1000:.0f}k"
            parts.append(_text(self.x(across), self.bottom + 20, label, 11, FAINT, "middle"))
        return parts


def _frame_of(
    means: Mapping[str, Sequence[tuple[float, float]]], budget: float | None, height: float
) -> _Frame:
    values = [y for points in means.values() for _, y in points]
    low, high = _around(min(values), max(values))
    last = max(*(points[-1][0] for points in means.values()), budget or 0.0)
    return _Frame(
        left=54, right=WIDTH - 200, top=26, bottom=height - 44, last=last, low=low, high=high
    )


def mean_curve(seeds: Sequence[Points]) -> list[tuple[float, float]]:
    """Means of several curves on even steps of the stretch that all of them cover.

    Example:
        mean_curve([[(0, 0.2), (10, 0.4)], [(0, 0.4), (10, 0.6)]]) goes from (0, 0.3) to (10, 0.5)
    """
    first = max(points[0][0] for points in seeds)
    last = min(points[-1][0] for points in seeds)
    if last <= first:
        return []
    grid = [first + (last - first) * step / GRID_POINTS for step in range(GRID_POINTS + 1)]
    return [(x, fmean(_height(points, x) for points in seeds)) for x in grid]


def _height(points: Points, x: float) -> float:
    """A curve between its points, by straight lines."""
    after = bisect_right([point[0] for point in points], x)
    if after == len(points):
        return points[-1][1]
    (x0, y0), (x1, y1) = points[max(after - 1, 0)], points[after]
    return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _around(low: float, high: float) -> tuple[float, float]:
    """Twentieths below and above, apart even where all is level."""
    below, above = int(low * 20) / 20, (int(high * 20) + 1) / 20
    return below, above if above > below else below + 0.05


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(
    x0: float, y0: float, x1: float, y1: float, colour: str, dash: str = "", width: float = 1.0
) -> str:
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f"<line {ends} {_stroke(colour, width, dash)}/>"


def _stroke(colour: str, width: float, dash: str) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{colour}" stroke-width="{width:g}"{dashes}'


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    """On a white card, so that it can be read on dark pages too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" '
        'font-family="system-ui, sans-serif">'
    )
    card = f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", card, *parts, "</svg>", ""])
