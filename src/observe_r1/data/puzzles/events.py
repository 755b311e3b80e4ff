"""Event strip: a lamp comes on after a thing lay on the plate. When, and what did it?

A frame has its number, a lamp, a plate on the left and the floor on the right. Things on the floor
do nothing; things that lie on the plate while the lamp is on already do nothing either.
"""

import random
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, COLOURS, INK, blank, draw_shape, draw_text

_FRAME = 2 * CELL
_COLOURS = ("red", "blue", "green", "purple")
_SHAPES = ("circle", "square", "triangle", "star")
_KINDS = tuple(f"{colour} {shape}" for colour in _COLOURS for shape in _SHAPES)


class Events(Family):
    name: ClassVar[str] = "events"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"frames": 4, "floor_things": 0, "late_things": 0},
        {"frames": 5, "floor_things": 1, "late_things": 0},
        {"frames": 6, "floor_things": 2, "late_things": 0},
        {"frames": 7, "floor_things": 4, "late_things": 1},
        {"frames": 8, "floor_things": 7, "late_things": 2},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        frames = axes["frames"]
        # Short spells anywhere: long ones would overlap any guess near the middle.
        first = rng.randint(1, frames - 1)
        last = min(frames - 1, first + rng.randint(0, frames // 3))
        things = rng.sample(_KINDS, 1 + axes["floor_things"] + axes["late_things"])
        plate, floor = [""] * frames, [""] * frames
        plate[first - 1] = things[0]
        for frame in rng.sample(range(frames), axes["floor_things"]):
            floor[frame] = things.pop()
        late = list(range(first, last + 1))
        for frame in rng.sample(late, min(len(late), axes["late_things"])):
            plate[frame] = things.pop()
        asked = rng.choice(("when", "cause"))
        return {"plate": plate, "floor": floor, "first": first, "last": last, "asked": asked}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        frames = len(construction["plate"])
        columns = 2 if frames == 4 else 3 if frames < 7 else 4
        image = blank(columns * _FRAME, -(-frames // columns) * _FRAME)
        for frame in range(frames):
            row, column = divmod(frame, columns)
            _draw_frame(image, construction, frame, column * _FRAME, row * _FRAME)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        first, last = construction["first"], construction["last"]
        if construction["asked"] == "when":
            question = (
                "Every frame lasts one second; frame 1 is from 0 to 1. From which second to which "
                "second is the lamp on? Write it as start-end."
            )
            return Ask(question=question, answer=_span(first, last), kind="interval")
        question = (
            "What lay on the plate in the frame just before the lamp came on, and so caused it? "
            "Write colour and shape."
        )
        return Ask(question=question, answer=construction["plate"][first - 1], kind="text")

    def facts(self, construction: Construction) -> tuple[str, ...]:
        places = zip(construction["plate"], construction["floor"], strict=True)
        return tuple(
            f"{frame + 1}: lamp {'on' if _is_on(construction, frame) else 'off'}, "
            f"plate {plate or '-'}, floor {floor or '-'}"
            for frame, (plate, floor) in enumerate(places)
        )

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        lit = [frame for frame in range(num_facts) if _is_on(construction, frame)]
        # A lamp that was not seen to come on is taken to do so in the next frame, for one second.
        first, last = (lit[0], lit[-1]) if lit else (num_facts, num_facts)
        seen = f"lamp on in {', '.join(str(frame + 1) for frame in lit)}" if lit else "not seen on"
        if construction["asked"] == "when":
            answer = _span(first, last)
            return Reasoning(full=f"{seen}, so {answer}", sketch=answer, answer=answer)
        shown = [*construction["plate"][:first], *construction["floor"][:num_facts]]
        cause = construction["plate"][first - 1] or next((t for t in shown if t), "red circle")
        full = f"{seen}, before it in {first} on the plate {cause}"
        return Reasoning(full=full, sketch=f"{first}: {cause}", answer=cause)

    def chance(self, level: int) -> float:
        # Found by counting 6,000 items a level: the mean of the best span (graded as spans are,
        # so that overlapping enough is right) and of the best thing, one in sixteen.
        return (0.36, 0.285, 0.262, 0.225, 0.196)[level]

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        first, last = construction["first"], construction["last"]
        if construction["asked"] == "cause":
            right = construction["plate"][first - 1]
            others = [*construction["plate"], *construction["floor"], *_KINDS[:3]]
            return tuple(dict.fromkeys(thing for thing in others if thing and thing != right))
        # Spans that do not overlap the right one at all.
        spans = [_span(first - 1, first - 1)]
        if last + 1 < len(construction["plate"]):
            spans.append(_span(last + 1, last + 1))
        return tuple(spans)


def _is_on(construction: Construction, frame: int) -> bool:
    return construction["first"] <= frame <= construction["last"]


def _span(first: int, last: int) -> str:
    """Seconds from the beginning of one frame to the end of another, frames counted from nought."""
    return f"{first}-{last + 1}"


def _draw_frame(
    image: Image.Image, construction: Construction, frame: int, left: int, top: int
) -> None:
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, top, left + _FRAME - 1, top + _FRAME - 1), outline=INK)
    draw_text(image, str(frame + 1), left + 5, top + 5)
    lamp = (left + 33, top + 4, left + 49, top + 20)
    if _is_on(construction, frame):
        pen.ellipse(lamp, fill=COLOURS["yellow"], outline=INK, width=2)
    else:
        pen.ellipse(lamp, outline=INK, width=2)
    pen.rectangle((left + 3, top + 49, left + 27, top + 52), fill=INK)
    pen.line((left + 28, top + 52, left + _FRAME - 3, top + 52), fill=INK)
    for thing, x, y in (
        (construction["plate"][frame], left + 4, top + 25),
        (construction["floor"][frame], left + 30, top + 28),
    ):
        if thing:
            colour, shape = thing.split()
            draw_shape(image, shape, COLOURS[colour], x, y, 24)
