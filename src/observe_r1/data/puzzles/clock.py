"""Clock: read the hands, then shift the time."""

import math
import random
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, INK, blank, draw_text

_SIDE = 5 * CELL
_HALF_DAY = 12 * 60


class Clock(Family):
    name: ClassVar[str] = "clock"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"grain_minutes": 60, "longest_shift_minutes": 0},
        {"grain_minutes": 30, "longest_shift_minutes": 0},
        {"grain_minutes": 5, "longest_shift_minutes": 0},
        {"grain_minutes": 5, "longest_shift_minutes": 55},
        {"grain_minutes": 5, "longest_shift_minutes": 355},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        grain = axes["grain_minutes"]
        shown = rng.randrange(0, _HALF_DAY, grain)
        longest = axes["longest_shift_minutes"] // grain
        shift = rng.randint(1, longest) * grain * rng.choice((-1, 1)) if longest else 0
        return {"shown": shown, "shift": shift}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        image = blank(_SIDE, _SIDE)
        pen, middle = ImageDraw.Draw(image), _SIDE // 2
        pen.ellipse((3, 3, _SIDE - 4, _SIDE - 4), outline=INK, width=2)
        for hour in range(12):
            inner = _around(middle, 60, hour * 30)
            pen.line((*inner, *_around(middle, 66, hour * 30)), fill=INK, width=2)
        for text, hour in (("12", 0), ("3", 3), ("6", 6), ("9", 9)):
            x, y = _around(middle, 49, hour * 30)
            draw_text(image, text, x - 6 * len(text) + 1, y - 7)
        shown = construction["shown"]
        pen.line((middle, middle, *_around(middle, 22, shown / 2)), fill=COLOURS["red"], width=6)
        pen.line((middle, middle, *_around(middle, 40, shown * 6)), fill=COLOURS["blue"], width=3)
        pen.ellipse((middle - 4, middle - 4, middle + 4, middle + 4), fill=INK)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        shift = construction["shift"]
        moment = (
            "What time does the clock show?"
            if shift == 0
            else f"What time will it be {_length(shift)} after the time on the clock?"
            if shift > 0
            else f"What time was it {_length(-shift)} before the time on the clock?"
        )
        answer = _time(construction["shown"] + shift)
        return Ask(
            question=f"{moment} Write hours:minutes, such as 4:05.", answer=answer, kind="text"
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        hours, minutes = divmod(construction["shown"], 60)
        hour, following = hours or 12, hours % 12 + 1
        short = f"at {hour}" if minutes == 0 else f"between {hour} and {following}"
        return (f"short hand {short}", f"long hand at {minutes // 5 or 12}")

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        shown, shift = construction["shown"], construction["shift"]
        # Without the long hand it is taken to be the full hour.
        shown = shown if num_facts > 1 else shown // 60 * 60
        answer = _time(shown + shift)
        steps = [f"hour {shown // 60 or 12}, minutes {shown % 60}: {_time(shown)}"]
        if shift:
            sign = "+" if shift > 0 else "-"
            steps.append(f"{_time(shown)} {sign} {_length(abs(shift))} = {answer}")
        return Reasoning(
            full=", ".join(steps), sketch=steps[-1].rpartition(": ")[-1], answer=answer
        )

    def chance(self, level: int) -> float:
        # All times of the dial are equally likely.
        return self.levels[level]["grain_minutes"] / _HALF_DAY

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        right = construction["shown"] + construction["shift"]
        return tuple(_time(right + slip) for slip in (-60, 60, 5, 30))


def _around(middle: int, radius: float, degrees: float) -> tuple[int, int]:
    """The point at that distance from the middle, clockwise from twelve o'clock."""
    angle = math.radians(degrees)
    return round(middle + radius * math.sin(angle)), round(middle - radius * math.cos(angle))


def _time(minutes: int) -> str:
    hours, rest = divmod(minutes % _HALF_DAY, 60)
    return f"{hours or 12}:{rest:02}"


def _length(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} minutes"
    hour_text = "1 hour" if hours == 1 else f"{hours} hours"
    return f"{hour_text} {rest} minutes" if rest else hour_text
