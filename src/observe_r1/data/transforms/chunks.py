"""Reasoning cut into chunks, and which of them bring nothing new.

    "2 + 1 = 3. Let me check: 2 + 1 = 3. It is the same" → "2 + 1 = 3" | "Let me check: 2 + 1 = 3"
                                                             new          | nothing new | …

A chunk ends at a full stop, a question or exclamation mark or a line's end. It brings nothing new
when all it states was said before it, word for word: exact on what a solver writes, cautious on
what a model writes.
"""

import re

_END = re.compile(r"(?<=[.!?])\s+|\n+")
_CUE = re.compile(
    r"^(?:wait|hmm|hold on|alternatively|again|check|let me (?:check|look|see|re-?check|verify)"
    r"(?: again)?|(?:it|that|this) is the same|the (?:final )?answer is|yes|so|okay|ok|now)\b"
    r"[\s,:;.!?-]*",
    re.IGNORECASE,
)
"""Words of reflection that state nothing themselves."""


def split_chunks(reasoning: str) -> list[str]:
    """The chunks of a reasoning, stripped, in order.

    Example:
        split_chunks("1 + 2 = 3. So 3") == ["1 + 2 = 3.", "So 3"]
    """
    return [chunk.strip() for chunk in _END.split(reasoning) if chunk.strip()]


def statement(chunk: str) -> str:
    """What a chunk states: its words in lower case without cues and punctuation around them.

    Example:
        statement("Wait, let me check: 1 + 2 = 3.") == "1 + 2 = 3"
    """
    said = chunk.strip()
    while (shorter := _CUE.sub("", said, count=1)) != said:
        said = shorter
    return " ".join(said.lower().strip(" .,:;!?-").split())


def is_reflective(chunk: str) -> bool:
    """Whether a chunk begins with a word of reflection.

    Example:
        is_reflective("Wait, that does not fit") is True
    """
    return bool(re.match(r"(?i)(?:wait|hmm|hold on|alternatively|let me|again|check)\b", chunk))


def redundant_from(chunks: list[str]) -> int | None:
    """Place from which on no chunk states anything new; None when the last one does. A "Hmm" with
    something new behind it is no such place: what follows may be what the answer rests on.

    Example:
        redundant_from(["1 + 2 = 3.", "Let me check: 1 + 2 = 3.", "So 3."]) == 1
    """
    said: list[str] = []
    last_new = 0
    for place, chunk in enumerate(chunks):
        stated = statement(chunk)
        if stated and not any(_holds(earlier, stated) for earlier in said):
            last_new = place
        said.append(stated)
    return last_new + 1 if last_new + 1 < len(chunks) else None


def _holds(earlier: str, stated: str) -> bool:
    """Whether the words of ``stated`` stand together in ``earlier``."""
    return f" {stated} " in f" {earlier} "


def is_looping(chunks: list[str], times: int = 3) -> bool:
    """Whether a statement is made ``times`` times or more: the writer does not get on.

    Example:
        is_looping(["Wait, 3.", "Wait, 3.", "Wait, 3."]) is True
    """
    stated = [statement(chunk) for chunk in chunks]
    return any(stated.count(one) >= times for one in stated if one)
