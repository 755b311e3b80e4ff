"""A picture from wherever a row keeps it → checked, encoded bytes. Each is decoded once.

PNG, JPEG and WebP stay as they are where every reader sees them alike. What must be turned first or
is see-through is stored as a person sees it, what has more pixels than is wished is scaled down,
and anything else that Pillow reads becomes PNG. The size is read from the header and refused before
a decompression bomb could unfold.
"""

import base64
import binascii
import io
import math
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from observe_r1.data.sources.base import BadRow
from observe_r1.pictures import as_seen, is_as_stored

PHOTOS = {"JPEG", "MPO"}
"""MPO is what Pillow calls a JPEG of several frames, as cameras write them; the first counts."""
KEPT_FORMATS = {"PNG", "WEBP", *PHOTOS}
READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_REMEMBERED = 4096
_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "UklGR")
"""How JPEG, PNG and WebP begin in base64: no path begins like that."""
_LARGEST_RATIO = 200
"""Processors of the Qwen-VL family refuse pictures that are longer than this."""


class Pictures:
    """Loads and checks pictures of one import.

    Example:
        pictures = Pictures(max_pixels=50_000_000, max_bytes=50_000_000)
        png = pictures.load("images/4.jpg", [folder])
    """

    def __init__(self, *, max_pixels: int, max_bytes: int, shrink_to: int | None = None) -> None:
        """Pictures over ``max_pixels`` are refused, those over ``shrink_to`` pixels scaled down."""
        self.max_pixels = max_pixels
        self.max_bytes = max_bytes
        self.shrink_to = shrink_to
        self.num_shrunk = 0
        """Different pictures that were scaled down."""
        self._origins: dict[bytes, bytes] = {}
        self._checked: OrderedDict[tuple[bytes, bool], bytes | BadRow] = OrderedDict()

    def load(self, reference: Any, folders: Sequence[Path], *, may_shrink: bool = True) -> bytes:
        """The encoded picture; BadRow with the reason where there is none to be had."""
        data = self._read(reference, folders)
        if len(data) > self.max_bytes:
            raise BadRow("image too large", f"{len(data):,} bytes")
        key = (sha256(data).digest(), may_shrink)
        if key not in self._checked:
            made = self._check(data, self.shrink_to if may_shrink else None)
            if isinstance(made, bytes) and made:
                self._origins[sha256(made).digest()] = key[0]
            self._checked[key] = made
            if len(self._checked) > _REMEMBERED:
                self._checked.popitem(last=False)
        verdict = self._checked[key]
        if isinstance(verdict, BadRow):
            raise BadRow(verdict.reason, verdict.detail)
        return verdict or data

    def origin(self, stored: bytes) -> bytes:
        """A name for the picture that a stored one was made of, equal for all its versions."""
        own = sha256(stored).digest()
        return self._origins.get(own, own)

    def _read(self, reference: Any, folders: Sequence[Path]) -> bytes:
        if isinstance(reference, bytes | bytearray | memoryview):
            return bytes(reference)
        if isinstance(reference, dict):
            inner = reference.get("bytes") or reference.get("path") or reference.get("url")
            if inner is None:
                raise BadRow("image missing", "neither bytes nor a path")
            return self._read(inner, folders)
        if isinstance(reference, Image.Image):
            return _encode(as_seen(reference))
        if isinstance(reference, str):
            return self._read_text(reference, folders)
        raise BadRow("image missing", f"a {type(reference).__name__} is no picture")

    def _read_text(self, text: str, folders: Sequence[Path]) -> bytes:
        if text.startswith("data:"):
            text = text.partition(",")[2]
        elif text.startswith(("http://", "https://")):
            raise BadRow("image missing", "an address on the web; download it first")
        elif len(text) < 1024 and not text.startswith(_BASE64_STARTS):
            return self._read_file(text.removeprefix("file://"), folders)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise BadRow("image unreadable", "a long text that is not base64") from None

    def _read_file(self, name: str, folders: Sequence[Path]) -> bytes:
        """The first of the folders that has the file; nothing outside all of them is opened."""
        roots = [folder.resolve() for folder in folders]
        left = False
        for root in roots:
            try:
                for path in _spellings(root / name):
                    if not any(path.is_relative_to(inside) for inside in roots):
                        left = True
                    elif path.is_file():
                        if path.stat().st_size > self.max_bytes:
                            raise BadRow("image too large", f"{path.stat().st_size:,} bytes")
                        return path.read_bytes()
            except (OSError, ValueError) as error:  # names that no file system takes
                raise BadRow("image missing", f"{name[:100]!r}: {error}") from None
        raise BadRow("image path leaves its folder" if left else "image missing", name[:200])

    def _check(self, data: bytes, shrink_to: int | None) -> bytes | BadRow:
        """Empty when the bytes are fine as they are, other bytes when encoded anew, or why not."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's size warning; the limit here is stricter
                with Image.open(io.BytesIO(data), formats=READ_FORMATS) as picture:
                    width, height = picture.size
                    if width * height > self.max_pixels:
                        detail = f"{width} × {height} pixels, at most {self.max_pixels:,} allowed"
                        return BadRow("image too large", detail)
                    if _is_narrow(width, height):
                        return BadRow("image too narrow", f"{width} × {height} pixels")
                    is_large = shrink_to is not None and width * height > shrink_to
                    if is_as_stored(picture) and picture.format in KEPT_FORMATS and not is_large:
                        return b""
                    seen = as_seen(picture)
                    if shrink_to is not None and is_large:
                        seen = _shrunk(seen, shrink_to)
                        self.num_shrunk += 1
                        if _is_narrow(*seen.size):
                            return BadRow("image too narrow", f"{width} × {height} pixels")
                    return _encode(seen, like=picture.format)
        except Image.DecompressionBombError as error:  # Pillow refuses these by itself
            return BadRow("image too large", str(error).partition(",")[0])
        except Image.UnidentifiedImageError:
            return BadRow("image unreadable", f"none of {', '.join(READ_FORMATS)}")
        except Exception as error:  # decoders raise whatever their input makes them raise
            return BadRow("image unreadable", f"{type(error).__name__}: {str(error)[:120]}")


def _is_narrow(width: int, height: int) -> bool:
    return max(width, height) > _LARGEST_RATIO * min(width, height)


def _spellings(path: Path) -> list[Path]:
    """The path, and with an ending where the row left it out."""
    endings = ("", ".png", ".jpg", ".jpeg", ".webp") if not path.suffix else ("",)
    return [Path(f"{path}{ending}").resolve() for ending in endings]


def _shrunk(picture: Image.Image, num_pixels: int) -> Image.Image:
    """At most so many pixels at the same proportions."""
    scale = math.sqrt(num_pixels / (picture.width * picture.height))
    size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _encode(picture: Image.Image, like: str | None = None) -> bytes:
    """A photo stays one, all else becomes PNG."""
    buffer = io.BytesIO()
    if like in PHOTOS:
        picture.save(buffer, format="JPEG", quality=95)
    else:
        picture.save(buffer, format="PNG")
    return buffer.getvalue()
