"""Points, boxes and time intervals: read from an answer, compared by distance or overlap."""

import re
from dataclasses import dataclass

from observe_r1.grading.clean import MAX_ANSWER_CHARS

MIN_OVERLAP = 0.5
"""Intersection over union from which a box or an interval is right."""

_NUMBER = re.compile(r"(?<![0-9.])-?(?:[0-9]{1,9}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?![0-9])")
_CLOCK = re.compile(r"\b(?:([0-9]{1,2}):)?([0-9]{1,3}):([0-9]{2}(?:\.[0-9]{1,6})?)\b")
_SPAN = re.compile(r"(?<=[0-9sm])\s*-\s*(?=[0-9.])")

Box = tuple[float, float, float, float]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a point must be: within ``tolerance`` of ``x, y``, or inside ``region``."""

    x: float = 0.0
    y: float = 0.0
    tolerance: float = 0.0
    region: Box | None = None


def read_numbers(text: str, limit: int = 64) -> list[float] | None:
    """Every number of a short text; None when it is too long or holds too many."""
    if len(text) > MAX_ANSWER_CHARS:
        return None
    # JSON keys such as "bbox_2d" hold digits that are no coordinates.
    text = re.sub(r"[A-Za-z_][A-Za-z_0-9]*", " ", text.replace("−", "-"))
    numbers = _NUMBER.findall(text)
    return [float(number) for number in numbers] if len(numbers) <= limit else None


def read_box(text: str) -> Box | None:
    """Exactly one box ``x1, y1, x2, y2`` with x1 < x2 and y1 < y2."""
    numbers = read_numbers(text)
    if numbers is None or len(numbers) != 4:
        return None
    x1, y1, x2, y2 = numbers
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def read_point(text: str) -> tuple[float, float] | None:
    numbers = read_numbers(text)
    return (numbers[0], numbers[1]) if numbers is not None and len(numbers) == 2 else None


def read_target(gold: str) -> Target | None:
    """A gold point: "x, y" (exact), "x, y ± r", or a region "x1, y1, x2, y2"."""
    place, sign, radius = gold.replace("\\pm", "±").partition("±")
    box = None if sign else read_box(gold)
    if box is not None:
        return Target(region=box)
    point, tolerance = read_point(place), read_numbers(radius) if sign else [0.0]
    if point is None or tolerance is None or len(tolerance) != 1 or tolerance[0] < 0:
        return None
    return Target(point[0], point[1], tolerance[0])


def hits(target: Target, point: tuple[float, float]) -> bool:
    if target.region is not None:
        x1, y1, x2, y2 = target.region
        return x1 <= point[0] <= x2 and y1 <= point[1] <= y2
    distance = ((point[0] - target.x) ** 2 + (point[1] - target.y) ** 2) ** 0.5
    return distance <= target.tolerance + 1e-9


def read_span(text: str) -> Span | None:
    """One time interval: "12.5 - 18", "from 12.5s to 18s", "0:12-0:18"; start before end."""
    if len(text) > MAX_ANSWER_CHARS:
        return None
    text = _CLOCK.sub(_clock_seconds, text.replace("–", "-").replace("—", "-").replace("−", "-"))
    numbers = read_numbers(_SPAN.sub(" to ", text))
    if numbers is None or len(numbers) != 2:
        return None
    start, end = numbers
    return (start, end) if 0 <= start < end else None


def _clock_seconds(match: re.Match[str]) -> str:
    hours, minutes, seconds = match.groups()
    return f"{int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds):.6f}"


def box_overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def span_overlap(a: Span, b: Span) -> float:
    """Intersection over union of two time intervals."""
    common = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (a[1] - a[0]) + (b[1] - b[0]) - common
    return common / union if union > 0 else 0.0
