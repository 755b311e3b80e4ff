"""Small bar charts as PNG for dataset cards, drawn with Pillow: no display, no browser, no fonts.

Drawn at twice the size and shrunk, which smooths every edge.
"""

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_SCALE = 2
_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 52, 58
_INK, _FAINT, _GRID = "#1f2937", "#6b7280", "#e5e7eb"
_BAR = "#4c78a8"
LEVEL_COLOURS = ("#2a788e", "#22a884", "#5ec962", "#a5db36", "#f6d746",
                 "#fca636", "#f3705a", "#cc4778", "#7e2482")  # fmt: skip


def bar_chart(
    labels: Sequence[str],
    values: Sequence[float | None],
    *,
    title: str,
    x_title: str,
    colours: Sequence[str] = (),
) -> bytes:
    """One bar a label with its value on top; None leaves a gap."""
    columns = [[0.0 if value is None else value] for value in values]
    notes = ["" if value is None else _short(value) for value in values]
    return _draw(labels, columns, [[c] for c in colours or [_BAR] * len(labels)], notes,
                 title=title, x_title=x_title)  # fmt: skip


def stacked_chart(
    labels: Sequence[str], columns: Sequence[Sequence[float]], *, title: str, x_title: str
) -> bytes:
    """One bar a label, cut into parts; the k-th part is always in the k-th colour."""
    colours = [list(LEVEL_COLOURS)] * len(labels)
    notes = [_short(sum(column)) for column in columns]
    return _draw(labels, columns, colours, notes, title=title, x_title=x_title, legend=True)


def _draw(
    labels: Sequence[str],
    columns: Sequence[Sequence[float]],
    colours: Sequence[Sequence[str]],
    notes: Sequence[str],
    *,
    title: str,
    x_title: str,
    legend: bool = False,
) -> bytes:
    image = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    pen = _Pen(ImageDraw.Draw(image))
    top = max([sum(column) for column in columns] + [1e-9])
    ticks = _ticks(top)
    pen.axes(title, x_title, ticks)
    slot = (_WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    for index, column in enumerate(columns):
        middle = _LEFT + slot * (index + 0.5)
        floor = 0.0
        for part, colour in zip(column, colours[index], strict=False):
            pen.box(middle, slot * 0.68, floor / ticks[-1], (floor + part) / ticks[-1], colour)
            floor += part
        pen.text(middle, _y(floor / ticks[-1]) - 9, notes[index], 12, _INK)
        pen.text(middle, _HEIGHT - _BOTTOM + 13, labels[index], 13, _INK)
    if legend:
        pen.legend(len(columns[0]) if columns else 0)
    buffer = io.BytesIO()
    image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


class _Pen:
    """Draws in the chart's own units, whatever the scale."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def text(
        self, x: float, y: float, text: str, size: int, colour: str, anchor: str = "mm"
    ) -> None:
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text, fill=colour, font=font, anchor=anchor)

    def box(self, middle: float, width: float, low: float, high: float, colour: str) -> None:
        if high > low:
            left, right = middle - width / 2, middle + width / 2
            corners = (left, _y(high), right, _y(low))
            self._draw.rectangle([round(c * _SCALE) for c in corners], fill=colour)

    def axes(self, title: str, x_title: str, ticks: Sequence[float]) -> None:
        self.text(_LEFT - 44, 22, title, 16, _INK, "lm")
        self.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16, x_title, 13, _FAINT)
        for tick in ticks:
            y = _y(tick / ticks[-1])
            ends = (_LEFT * _SCALE, y * _SCALE, (_WIDTH - _RIGHT) * _SCALE, y * _SCALE)
            self._draw.line(ends, fill=_GRID if tick else _FAINT, width=_SCALE)
            self.text(_LEFT - 8, y, _short(tick), 12, _FAINT, "rm")

    def legend(self, num_parts: int) -> None:
        self.text(_WIDTH - _RIGHT - 22 * num_parts - 8, 22, "level", 12, _FAINT, "rm")
        for part in range(num_parts):
            x = _WIDTH - _RIGHT - 22 * (num_parts - part) + 11
            corners = (x - 8, 14, x + 8, 30)
            colour = LEVEL_COLOURS[part % len(LEVEL_COLOURS)]
            self._draw.rectangle([c * _SCALE for c in corners], fill=colour)
            self.text(x, 22, str(part), 11, "white" if part in (0, 1, 6, 7, 8) else _INK)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _ticks(top: float) -> list[float]:
    """Zero and a few round numbers, the last at or above ``top``."""
    raw = top / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * 0.999)
    return [step * index for index in range(math.ceil(top / step - 1e-9) + 1)]


def _short(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
