"""Text that a model or its processor would take for more than text never gets into a puzzle."""

import re

from observe_r1.errors import DataError

_SPECIAL = re.compile(r"<\||\|>|</?[A-Za-z_]+>|\[/?[A-Z]{3,}\]")
"""Special tokens such as ``<|im_start|>``, tags, image markers, chat marks such as ``[INST]``."""


def refuse_special_text(text: str, place: str) -> None:
    """Raise DataError when ``text`` holds a special token, a tag or an image marker."""
    found = _SPECIAL.search(text)
    if found:
        raise DataError(
            f"the puzzle {place} holds the special text {found.group()!r}, which a model would not "
            "read as plain words. Word the puzzle without it."
        )
