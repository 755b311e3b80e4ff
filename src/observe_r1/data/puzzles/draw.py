"""Small drawing functions shared by the puzzles: coloured shapes, digits and letters, dice.

A picture is made of 28-pixel cells, the size of one merged visual token of the Qwen-VL models.
Glyphs are our own 5 x 7 bitmaps, so that a picture does not depend on the fonts of a machine.
"""

import math
from functools import cache

from PIL import Image, ImageDraw

CELL = 28

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (20, 20, 20)
FAINT: Colour = (190, 190, 190)

COLOURS: dict[str, Colour] = {
    "red": (220, 30, 30),
    "blue": (30, 60, 220),
    "green": (20, 150, 50),
    "yellow": (240, 200, 0),
    "purple": (140, 40, 170),
    "orange": (245, 130, 20),
}

SHAPES = ("circle", "square", "triangle", "cross", "diamond", "star")

_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01110 10001 10000 10000 10000 10001 01110",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "G": "01110 10001 10000 10111 10001 10001 01111",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "J": "00111 00010 00010 00010 00010 10010 01100",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 10101 10011 10001 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "Q": "01110 10001 10001 10001 10101 10010 01101",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "V": "10001 10001 10001 10001 10001 01010 00100",
    "W": "10001 10001 10001 10101 10101 11011 10001",
    "X": "10001 10001 01010 00100 01010 10001 10001",
    "Y": "10001 10001 01010 00100 00100 00100 00100",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
    "+": "00000 00100 00100 11111 00100 00100 00000",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    "x": "00000 10001 01010 00100 01010 10001 00000",
    "=": "00000 00000 11111 00000 11111 00000 00000",
    "?": "01110 10001 00001 00110 00100 00000 00100",
    ":": "00000 00100 00100 00000 00100 00100 00000",
    "/": "00001 00001 00010 00100 01000 10000 10000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    " ": "00000 00000 00000 00000 00000 00000 00000",
    "≠": "00001 00010 11111 00100 11111 01000 10000",
    "✓": "00000 00001 00001 00010 10010 01100 00100",
    "✗": "10001 11011 01110 00100 01110 11011 10001",
}


def blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def draw_shape(
    image: Image.Image, shape: str, colour: Colour, left: int, top: int, size: int = CELL
) -> None:
    """A filled shape in the square of ``size`` pixels whose corner is (left, top)."""
    image.paste(_sprite(shape, colour, size), (left, top))


def draw_text(
    image: Image.Image, text: str, left: int, top: int, scale: int = 2, colour: Colour = INK
) -> None:
    """Capital letters, digits and signs, 6 x 8 pixels a character at scale 1."""
    pen = ImageDraw.Draw(image)
    for place, character in enumerate(text):
        rows = _GLYPHS[character].split()
        for y, row in enumerate(rows):
            for x, bit in enumerate(row):
                if bit == "1":
                    corner = (left + (place * 6 + x) * scale, top + y * scale)
                    pen.rectangle(
                        (*corner, corner[0] + scale - 1, corner[1] + scale - 1), fill=colour
                    )


def draw_glyph_cell(image: Image.Image, character: str, left: int, top: int) -> None:
    """One character filling a cell."""
    image.paste(_glyph_cell(character), (left, top))


def draw_die(image: Image.Image, pips: int, left: int, top: int) -> None:
    """A die face of 1 to 6 pips filling a cell."""
    image.paste(_die(pips), (left, top))


def draw_domino(image: Image.Image, first: int, second: int, left: int, top: int) -> None:
    """A lying domino of two halves with 0 to 6 pips each, two cells wide."""
    image.paste(_domino(first, second), (left, top))


def draw_cell_lines(image: Image.Image, step: int = CELL) -> None:
    """Faint lines between the cells."""
    pen = ImageDraw.Draw(image)
    for x in range(step, image.width, step):
        pen.line((x, 0, x, image.height - 1), fill=FAINT)
    for y in range(step, image.height, step):
        pen.line((0, y, image.width - 1, y), fill=FAINT)


@cache
def _sprite(shape: str, colour: Colour, size: int) -> Image.Image:
    image = blank(size, size)
    pen = ImageDraw.Draw(image)
    low, high, middle = size // 7, size - 1 - size // 7, size // 2
    third = (high - low) // 3
    if shape == "circle":
        pen.ellipse((low, low, high, high), fill=colour)
    elif shape == "square":
        pen.rectangle((low, low, high, high), fill=colour)
    elif shape == "triangle":
        pen.polygon([(middle, low), (high, high), (low, high)], fill=colour)
    elif shape == "cross":
        pen.rectangle((low + third, low, high - third, high), fill=colour)
        pen.rectangle((low, low + third, high, high - third), fill=colour)
    elif shape == "diamond":
        pen.polygon([(middle, low), (high, middle), (middle, high), (low, middle)], fill=colour)
    elif shape == "star":
        pen.polygon(_star_corners(size), fill=colour)
    else:
        raise ValueError(f"no shape named {shape!r}")
    return image


def _star_corners(size: int) -> list[tuple[float, float]]:
    """Ten corners, far and near in turn, from the uppermost clockwise."""
    far, middle = size / 2 - size / 9, size / 2
    corners = []
    for corner in range(10):
        radius, angle = far * (0.45 if corner % 2 else 1.0), math.radians(corner * 36)
        corners.append((middle + radius * math.sin(angle), middle - radius * math.cos(angle)))
    return corners


@cache
def _glyph_cell(character: str) -> Image.Image:
    image = blank(CELL, CELL)
    draw_text(image, character, 6, 3, scale=3)
    return image


@cache
def _die(pips: int) -> Image.Image:
    image = blank(CELL, CELL)
    pen = ImageDraw.Draw(image)
    pen.rectangle((2, 2, CELL - 3, CELL - 3), outline=INK)
    _put_pips(pen, pips, 0)
    return image


@cache
def _domino(first: int, second: int) -> Image.Image:
    image = blank(2 * CELL, CELL)
    pen = ImageDraw.Draw(image)
    pen.rectangle((2, 2, 2 * CELL - 3, CELL - 3), outline=INK, width=2)
    pen.line((CELL, 5, CELL, CELL - 6), fill=INK)
    _put_pips(pen, first, 0)
    _put_pips(pen, second, CELL)
    return image


def _put_pips(pen: ImageDraw.ImageDraw, pips: int, left: int) -> None:
    """The usual pattern of 0 to 6 pips in the cell that begins at ``left``."""
    near, middle, far = 8, 14, 20
    places = {
        0: [],
        1: [(middle, middle)],
        2: [(near, near), (far, far)],
        3: [(near, near), (middle, middle), (far, far)],
        4: [(near, near), (far, near), (near, far), (far, far)],
        5: [(near, near), (far, near), (middle, middle), (near, far), (far, far)],
        6: [(near, near), (far, near), (near, middle), (far, middle), (near, far), (far, far)],
    }[pips]
    for x, y in places:
        pen.ellipse((left + x - 2, y - 2, left + x + 2, y + 2), fill=INK)
