"""What every raw question must pass, whatever its source: text, pictures, options, gold.

Each check that fails raises ``BadRow`` with the reason it is counted under. A gold that cannot be
checked rejects its row here, so that no answer is ever rewarded for want of one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal

from observe_r1.data.sources.base import BadRow
from observe_r1.errors import DataError
from observe_r1.grading import check_gold, infer_kind
from observe_r1.grading.choice import gold_letter
from observe_r1.types import Kind

_MARKER = re.compile(r"<image\s*(\d*)>")
_SPECIAL = re.compile(
    r"<\|[^|<>\s]{1,60}\|>|</?s>|\[/?INST\]"
    r"|<(?:bos|eos|pad|unk|mask|video|audio|image_pad|video_pad|image_soft_token|fake_token_around_image"
    r"|start_of_turn|end_of_turn|start_of_image|end_of_image|end_of_utterance|row_\d+_col_\d+)>"
)
_NUMBERS_IN_BRACKETS = re.compile(
    r"\s*[\[({<]\s*\d[\d.]*(?:[\s,;()\[\]<>]+\d[\d.]*)+\s*[\])}>]+\s*"
)
"""None of them negative: no pixel is."""
_NO_ANSWER = {"", "nan", "none", "null", "n/a", "?", "-"}


def checked_text(text: str, specials: Literal["reject", "split"]) -> str:
    """Text without strings that a tokenizer would read as control tokens."""
    text = text.replace("\r\n", "\n").replace("\x00", "")
    found = _SPECIAL.search(text)
    if found and specials == "reject":
        raise BadRow("special token in the text", found[0])
    # A space after the first character is enough for every tokenizer to see plain text.
    return _SPECIAL.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def place_images(
    question: str, options: Sequence[str], num_images: int
) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
    """Plain ``<image>`` markers, one an image, and the images' order of appearance.

    Example:
        place_images("<image 2> or <image 1>?", (), 2) == ("<image> or <image>?", (), (1, 0))
    """
    markers = [number for text in (question, *options) for number in _MARKER.findall(text)]
    plain = [_MARKER.sub("<image>", text) for text in (question, *options)]
    if not markers:
        return plain[0], tuple(plain[1:]), tuple(range(num_images))
    if all(markers):
        order = tuple(int(number) - 1 for number in markers)
    else:
        order = tuple(range(len(markers)))
    if ("" in markers and any(markers)) or set(order) != set(range(num_images)):
        detail = f"{len(markers)} markers and {num_images} images"
        raise BadRow("image markers do not match", detail)
    return plain[0], tuple(plain[1:]), order


def may_count_in_pixels(kind: Kind, answer: str, options: Sequence[str]) -> bool:
    """Whether the answer is, or may be, a place in the picture: a smaller one has it elsewhere."""
    places = options if kind == "choice" and options else (answer,)
    return kind in ("point", "box") or all(map(_NUMBERS_IN_BRACKETS.fullmatch, places))


def checked_metadata(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The named columns of a row as JSON values; BadRow where one holds anything else."""
    return {name: _json_value(row[name], name) for name in names if name in row}


def _json_value(value: Any, name: str) -> Any:
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case date() | time() | Decimal():
            return str(value)
        case Mapping():
            return {str(key): _json_value(inner, name) for key, inner in value.items()}
        case list() | tuple():
            return [_json_value(inner, name) for inner in value]
    raise BadRow("metadata cannot be kept", f"{name} holds {type(value).__name__}")


def checked_gold(
    answer: str, options: Sequence[str], kind: Kind | None, max_words: int
) -> tuple[str, Kind]:
    """The answer as it is stored, and its kind; BadRow when nothing could be checked against it."""
    answer = answer.strip()
    if answer.lower() in _NO_ANSWER and not (options and gold_letter(answer, options)):
        raise BadRow("no answer", repr(answer))
    if options:
        letter = gold_letter(answer, options)
        if letter is None:
            detail = f"{answer[:80]!r} with {len(options)} options"
            raise BadRow("answer is none of the options", detail)
        return letter, "choice"
    kind = kind or infer_kind(answer, None)
    try:
        check_gold(answer, kind, None)
    except DataError as error:
        raise BadRow("answer cannot be checked", str(error)) from None
    if kind == "text" and len(answer.split()) > max_words:
        detail = f"a text of {len(answer.split())} words"
        raise BadRow("answer cannot be checked", detail)
    return answer, kind
