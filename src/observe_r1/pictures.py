"""A picture as a person sees it. Models must see the same, and all engines the same as one another.

Photos are stored lying on their side with a note of how to turn them; drawings are stored as black
lines on nothing. Read carelessly, the first is seen turned and the second black on black.
"""

from PIL import Image

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What EXIF's numbers for the orientation ask for."""


def as_seen(picture: Image.Image) -> Image.Image:
    """Upright, and on white where it is see-through, in RGB.

    Example:
        with Image.open("sketch.png") as picture:
            shown = as_seen(picture)
    """
    picture.load()  # formats that Pillow turns by itself take back the note only then
    turn = _turn(picture)
    upright = picture if turn is None else picture.transpose(turn)
    if not _is_see_through(picture):
        return upright.convert("RGB")
    colours = upright.convert("RGBA")
    seen = Image.new("RGB", colours.size, "white")
    seen.paste(colours, mask=colours.getchannel("A"))
    return seen


def is_as_stored(picture: Image.Image) -> bool:
    """Whether every reader sees it like this, however carelessly it reads."""
    picture.load()
    return _turn(picture) is None and not _is_see_through(picture)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises whatever a broken header makes it raise: there is no note
        return None


def _is_see_through(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
