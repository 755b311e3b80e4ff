"""A picture as a person sees it. Models must see the same, and all engines the same as one another.

Photos are stored lying on their side with a note of how to turn them; drawings are stored as black
lines on nothing. Read carelessly, the first is seen turned and the second black on black.
"""

from PIL import Image, ImageOps


def as_seen(picture: Image.Image) -> Image.Image:
    """Upright, and on white where it is see-through, in RGB.

    Example:
        with Image.open("sketch.png") as picture:
            shown = as_seen(picture)
    """
    upright = ImageOps.exif_transpose(picture)
    if not is_see_through(upright):
        return upright.convert("RGB")
    colours = upright.convert("RGBA")
    seen = Image.new("RGB", colours.size, "white")
    seen.paste(colours, mask=colours.getchannel("A"))
    return seen


def is_see_through(picture: Image.Image) -> bool:
    """Whether parts of it may be transparent."""
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
