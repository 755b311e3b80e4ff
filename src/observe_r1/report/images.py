"""Pictures for the page: found inside the run folder only, decoded, made small, each stored once.

Nothing of a picture file reaches the page as it is: it is decoded and encoded again, so a file that
only claims to be a picture, or is one with something hidden in it, becomes a note or plain pixels.
"""

import base64
import hashlib
import io
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from observe_r1.pictures import as_seen

MAX_FILE_BYTES = 32 * 2**20
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def find_picture(folder: Path, name: str) -> Path | None:
    """The file a row names, None unless it is a file inside the run folder, links followed."""
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        inside = path.is_relative_to(root) and path.is_file()
        return path if inside and path.stat().st_size <= MAX_FILE_BYTES else None
    except (OSError, ValueError):  # names too long, with a null byte, or links in a circle
        return None


def shrink(path: Path, side: int) -> bytes | None:
    """The picture as WebP, its longer side at most ``side``; None where it is no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                image.draft("RGB", (side, side))
                small = as_seen(image)
        small.thumbnail((side, side))
        return _encode(small)
    except (
        OSError,
        UnidentifiedImageError,
        ValueError,
        SyntaxError,  # Pillow's own error for a broken PNG
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return None


def _encode(image: Image.Image) -> bytes:
    """Drawings with few colours are smaller, and sharper, without loss."""
    buffer = io.BytesIO()
    few_colours = image.getcolors(maxcolors=512) is not None
    image.save(buffer, format="WEBP", lossless=few_colours, quality=80 if not few_colours else 60)
    return buffer.getvalue()


def prepare() -> None:
    """Loads the decoders and the encoder now, so that the first picture is as quick as the next."""
    Image.init()
    _encode(Image.new("RGB", (1, 1)))


class Album:
    """Pictures of a page by content, up to a budget of bytes."""

    def __init__(self, folder: Path, side: int, budget: int) -> None:
        self._folder, self._side, self._budget = folder, side, budget
        self._keys: dict[str, str | None] = {}
        self.pictures: dict[str, str] = {}
        """Key → data address."""
        self.left_out = 0
        self.unreadable = 0

    def add(self, name: str) -> str | None:
        """The key of a picture in the page; None where it is left out."""
        if name not in self._keys:
            self._keys[name] = self._store(name)
        return self._keys[name]

    def _store(self, name: str) -> str | None:
        path = find_picture(self._folder, name)
        content = shrink(path, self._side) if path else None
        if content is None:
            self.unreadable += 1
            return None
        key = hashlib.sha256(content).hexdigest()[:12]
        if key in self.pictures:
            return key
        address = "data:image/webp;base64," + base64.b64encode(content).decode()
        if len(address) > self._budget:
            self.left_out += 1
            return None
        self._budget -= len(address)
        self.pictures[key] = address
        return key
