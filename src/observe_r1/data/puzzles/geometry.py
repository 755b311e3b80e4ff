"""Labelled geometry: the total area of the shapes, as an expression such as ``12 + 4\\pi``."""

import random
from fractions import Fraction
from typing import ClassVar

from PIL import Image, ImageDraw

from observe_r1.data.puzzles.base import Ask, Axes, Construction, Family, Reasoning
from observe_r1.data.puzzles.draw import CELL, INK, PAPER, Colour, blank, draw_text

_BLOCK = 3 * CELL
_FILL: Colour = (205, 220, 245)
_STRAIGHT = ("rectangle", "triangle")
_ROUND = ("circle", "semicircle", "quarter circle", "square with a round hole")

Area = tuple[Fraction, Fraction]
"""A number and how many times pi."""


class Geometry(Family):
    name: ClassVar[str] = "geometry"
    levels: ClassVar[tuple[Axes, ...]] = (
        {"shapes": 1, "longest": 5, "straight_only": 1},
        {"shapes": 1, "longest": 7, "straight_only": 0},
        {"shapes": 2, "longest": 7, "straight_only": 0},
        {"shapes": 3, "longest": 8, "straight_only": 0},
        {"shapes": 4, "longest": 9, "straight_only": 0},
    )

    def build(self, rng: random.Random, axes: Axes) -> Construction:
        names = [rng.choice(_STRAIGHT + _ROUND) for _ in range(axes["shapes"])]
        # Above the first level at least one shape is round, so that pi is always part of it.
        names[rng.randrange(len(names))] = rng.choice(
            _STRAIGHT if axes["straight_only"] else _ROUND
        )
        return {"shapes": [[name, *_lengths(rng, name, axes["longest"])] for name in names]}

    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        shapes = construction["shapes"]
        columns = 1 if len(shapes) == 1 else 2
        image = blank(columns * _BLOCK, -(-len(shapes) // columns) * _BLOCK)
        for place, (name, *lengths) in enumerate(shapes):
            row, column = divmod(place, columns)
            _draw_shape(image, name, lengths, column * _BLOCK + 10, row * _BLOCK + 8)
        return (image,)

    def ask(self, construction: Construction) -> Ask:
        shapes = construction["shapes"]
        asked = "area of the shape" if len(shapes) == 1 else "total area of the shapes"
        return Ask(
            question=(
                f"What is the {asked}? Lengths are written beside the sides and radii; the "
                "drawing is not to scale. Give an exact expression with \\pi where needed."
            ),
            answer=_write(_total(shapes)),
            kind="expression",
        )

    def facts(self, construction: Construction) -> tuple[str, ...]:
        return tuple(_describe(*shape) for shape in construction["shapes"])

    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        seen = construction["shapes"][:num_facts]
        areas = [_write(_area(*shape)) for shape in seen]
        answer = _write(_total(seen))
        steps = [
            f"{shape[0]}: {_formula(*shape)} = {area}"
            for shape, area in zip(seen, areas, strict=True)
        ]
        terms = [f"({area})" if " " in area else area for area in areas]
        working = f"{' + '.join(terms)} = {answer}" if len(areas) > 1 else answer
        full = [*steps, working] if len(areas) > 1 else steps
        return Reasoning(full=", ".join(full), sketch=working, answer=answer)

    def chance(self, level: int) -> float:
        # Found by counting 40,000 items a level: the share of the commonest answer.
        return (0.125, 0.073, 0.009, 0.002, 0.0005)[level]

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        plain, times_pi = _total(construction["shapes"])
        return (
            _write((plain + 1, times_pi)),
            _write((plain + 2, times_pi)),
            _write((plain, times_pi + 1)),
        )


def _lengths(rng: random.Random, name: str, longest: int) -> list[int]:
    if name in _STRAIGHT:
        return [rng.randint(2, longest), rng.randint(2, longest)]
    if name == "square with a round hole":
        side = rng.randint(3, max(3, longest))
        return [side, rng.randint(1, (side - 1) // 2)]
    return [rng.randint(1, longest)]


def _area(name: str, first: int, second: int = 0) -> Area:
    square, nothing = Fraction(first * first), Fraction(0)
    return {
        "rectangle": (Fraction(first * second), nothing),
        "triangle": (Fraction(first * second, 2), nothing),
        "circle": (nothing, square),
        "semicircle": (nothing, square / 2),
        "quarter circle": (nothing, square / 4),
        "square with a round hole": (square, Fraction(-second * second)),
    }[name]


def _total(shapes: list[list]) -> Area:
    areas = [_area(*shape) for shape in shapes]
    return sum((area[0] for area in areas), Fraction()), sum(
        (area[1] for area in areas), Fraction()
    )


def _describe(name: str, first: int, second: int = 0) -> str:
    return {
        "rectangle": f"rectangle {first} by {second}",
        "triangle": f"right triangle with legs {first} and {second}",
        "square with a round hole": f"square with side {first} and a round hole of radius {second}",
    }.get(name, f"{name} of radius {first}")


def _formula(name: str, first: int, second: int = 0) -> str:
    return {
        "rectangle": f"{first} * {second}",
        "triangle": f"{first} * {second} / 2",
        "circle": f"{first}^2 \\pi",
        "semicircle": f"{first}^2 \\pi / 2",
        "quarter circle": f"{first}^2 \\pi / 4",
        "square with a round hole": f"{first}^2 - {second}^2 \\pi",
    }[name]


def _write(area: Area) -> str:
    """``12``, ``\\frac{9}{2}\\pi``, ``12 - 4\\pi``."""
    plain, times_pi = area
    if not times_pi:
        return _fraction(plain)
    size = abs(times_pi)
    round_part = "\\pi" if size == 1 else f"{_fraction(size)}\\pi"
    if not plain:
        return round_part if times_pi > 0 else f"-{round_part}"
    return f"{_fraction(plain)} {'+' if times_pi > 0 else '-'} {round_part}"


def _fraction(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _draw_shape(image: Image.Image, name: str, lengths: list[int], left: int, top: int) -> None:
    """A shape in a block, its lengths below and to the right of it."""
    pen, right, bottom = ImageDraw.Draw(image), left + 46, top + 46
    if name in ("rectangle", "triangle"):
        low = top + 10
        corners = [(left, low), (right, low), (right, bottom), (left, bottom)]
        if name == "triangle":
            corners = [(right, top), (right, bottom), (left, bottom)]
            pen.polygon(corners, fill=_FILL, outline=INK)
            pen.rectangle((right - 6, bottom - 6, right, bottom), outline=INK)
        else:
            pen.polygon(corners, fill=_FILL, outline=INK)
        draw_text(image, str(lengths[0]), left + 18, bottom + 5)
        draw_text(image, str(lengths[1]), right + 6, top + 21)
    elif name == "circle":
        pen.ellipse((left, top, right, bottom), fill=_FILL, outline=INK)
        _draw_radius(image, lengths[0], left + 23, top + 23, 23)
    elif name == "square with a round hole":
        pen.rectangle((left, top, right, bottom), fill=_FILL, outline=INK)
        pen.ellipse((left + 2, top + 2, right - 2, bottom - 2), fill=PAPER, outline=INK)
        _draw_radius(image, lengths[1], left + 23, top + 23, 21)
        draw_text(image, str(lengths[0]), left + 18, bottom + 5)
    elif name == "semicircle":
        pen.pieslice((left, top + 18, right, top + 64), 180, 360, fill=_FILL, outline=INK)
        pen.line((left + 23, top + 41, right, top + 41), fill=INK, width=2)
        pen.ellipse((left + 21, top + 39, left + 25, top + 43), fill=INK)
        draw_text(image, str(lengths[0]), left + 30, bottom + 1)
    else:
        pen.pieslice((left - 46, top, right, bottom + 46), 270, 360, fill=_FILL, outline=INK)
        draw_text(image, str(lengths[0]), left + 18, bottom + 5)


def _draw_radius(image: Image.Image, length: int, x: int, y: int, radius: int) -> None:
    """A dot in the middle of a circle, a line to the right, the length above them."""
    pen = ImageDraw.Draw(image)
    pen.line((x, y, x + radius, y), fill=INK)
    pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=INK)
    draw_text(image, str(length), x - 4, y - 18)
