"""Where the answer stands in a completion: in its tags, in a box, or somewhere in plain text."""

import re
from typing import Literal

from observe_r1.text import last_section

Extract = Literal["tagged", "boxed", "plain"]

_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\[{}\\]|[{}]")
_BARE_BOX = re.compile(r"\\boxed\s+([^\s${}]+)")
_MARKER = re.compile(
    r"(?:final answer|correct answer|right answer|the answer|answer|correct option|correct choice)"
    r"\**\s*(?:is|are|would be|will be|should be|must be|:|=|\*)[\s:*=]*",
    re.I,
)
_SENTENCE_END = re.compile(r"(?<=[^0-9A-Z\s])\.\s|(?<=[0-9])\.\s|\n|\.\s+(?=[A-Z][a-z])")
MAX_PLAIN_CHARS = 20_000
"""Of an untagged text only the end is searched."""


def extract_answer(completion: str, extract: Extract) -> tuple[str | None, str]:
    """The answer's text, or None, and where it stood or what is missing."""
    if extract == "tagged":
        inside = last_section(completion, "answer")
        return inside, "in the answer section" if inside else "no closed, non-blank answer section"
    if extract == "boxed":
        inside = last_box(completion)
        return inside, "in a box" if inside else "no closed, non-empty box"
    return _extract_plain(completion)


def last_box(text: str) -> str | None:
    r"""Inside of the last complete \boxed{…}, the outermost one, stripped; None without one."""
    found, stack, open_boxes = None, [], 0
    for match in _BRACES.finditer(text):
        token = match.group()
        if token.endswith("{") and token != "\\{":
            is_box = len(token) > 1
            stack.append((match.end(), is_box))
            open_boxes += is_box
        elif token == "}" and stack:
            start, is_box = stack.pop()
            open_boxes -= is_box
            if (is_box and open_boxes == 0) or (is_box and found is None):
                found = (start, match.start())
    if found is None:
        bare = _BARE_BOX.findall(text[-MAX_PLAIN_CHARS:])
        return bare[-1] if bare else None
    return text[found[0] : found[1]].strip() or None


def _extract_plain(completion: str) -> tuple[str | None, str]:
    """Untagged text: the answer section if there is one, a box, what follows "the answer is",
    else the last line that is not blank."""
    inside = last_section(completion, "answer")
    if inside is not None:
        return inside, "in the answer section"
    text = completion[-MAX_PLAIN_CHARS:]
    boxed = last_box(text)
    if boxed is not None:
        return boxed, "in a box"
    marked = _after_marker(text)
    if marked is not None:
        return marked, "after the words that announce it"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1], "in the last line") if lines else (None, "the completion is blank")


def _after_marker(text: str) -> str | None:
    found = list(_MARKER.finditer(text))
    if not found:
        return None
    rest = text[found[-1].end() :].strip()
    end = _SENTENCE_END.search(rest)
    return (rest[: end.start()] if end else rest).strip(" *") or None


_FORMULA = re.compile(r"\$\$([^$]+)\$\$|\$([^$\n]+)\$|\\\(([^\n]+?)\\\)|\\\[([^\n]+?)\\\]")


def last_formula(text: str) -> str | None:
    """The last formula between dollar signs or their like: for untagged answers only."""
    found = _FORMULA.findall(text[-2000:])
    return next((part for part in found[-1] if part), None) if found else None
