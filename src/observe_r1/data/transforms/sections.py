"""A response in parts: find a section, replace what stands in it, write one anew.

Models close tags badly. A section is found when its opening tag has a closing one behind it; what
is not found is never guessed.
"""

import re

from observe_r1.data.puzzles.base import Trace
from observe_r1.text import last_section

THOUGHT_TAGS = ("think", "sketch")
"""Where the reasoning stands; the first of these that a response has."""


def thought_tag(text: str) -> str | None:
    """The tag of the section that holds the reasoning; None where there is none.

    Example:
        thought_tag("<think>2 + 1</think><answer>3</answer>") == "think"
    """
    return next((tag for tag in THOUGHT_TAGS if section(text, tag) is not None), None)


def section(text: str, tag: str) -> str | None:
    """What stands in the first section with that tag, as it is; None where there is none."""
    found = _span(text, tag)
    return None if found is None else text[found[0] : found[1]]


def with_section(text: str, tag: str, inside: str) -> str:
    """The text with another content of the first section of that tag; unchanged without one.

    Example:
        with_section("<think>a</think><answer>3</answer>", "think", "b")
        == "<think>b</think><answer>3</answer>"
    """
    found = _span(text, tag)
    return text if found is None else text[: found[0]] + inside + text[found[1] :]


def _span(text: str, tag: str) -> tuple[int, int] | None:
    opening = text.find(f"<{tag}>")
    if opening < 0:
        return None
    start = opening + len(tag) + 2
    end = text.find(f"</{tag}>", start)
    return None if end < 0 else (start, end)


def thought(text: str) -> str | None:
    """The reasoning of a response, stripped; None where no section holds one."""
    tag = thought_tag(text)
    return None if tag is None else (section(text, tag) or "").strip()


def with_thought(text: str, inside: str) -> str:
    """The same response with another reasoning."""
    tag = thought_tag(text)
    return text if tag is None else with_section(text, tag, inside)


def plain(text: str) -> str:
    """Text that stands in a section, without the tags of sections inside it.

    Example:
        plain("I look. <observe>3 dots</observe> So 3") == "I look. 3 dots So 3"
    """
    return re.sub(r"</?[a-z_]+>", "", text).strip()


def read_trace(text: str) -> Trace | None:
    """A response as a worked solution; None without an answer or without reasoning.

    Example:
        read_trace("<think>2 + 1</think><answer>3</answer>")
        == Trace(observe="", think="2 + 1", sketch="2 + 1", answer="3")
    """
    reasoning, answer = thought(text), last_section(text, "answer")
    if not reasoning or answer is None:
        return None
    looked = section(text, "observe") or section(text, "facts") or ""
    think = plain(reasoning)
    return Trace(observe=plain(looked), think=think, sketch=think, answer=plain(answer))
