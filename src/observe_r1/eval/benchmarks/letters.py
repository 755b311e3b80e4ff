"""Which option a text picks, by the plain rules that benchmark harnesses use without a judge.

a letter of its own     "(B)", "B.", "B)", "B", "answer: B"     the only one, else the last
an option's text        when no letter stands by itself and exactly one option occurs
"""

import re
from collections.abc import Sequence

from observe_r1.eval.benchmarks.base import said
from observe_r1.types import Sample

_BRACKETED = re.compile(r"\(\s*([A-Z])\s*\)")
_ALONE = re.compile(r"(?<![A-Za-z0-9'’])([A-Z])(?=[.):,\s]|$)")


def picks_gold(sample: Sample, text: str) -> bool:
    """The rule of most benchmarks with options: the answer that is stated picks the gold letter."""
    return pick_option(said(text), sample.options) == sample.answer


def option_letters(count: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]


def pick_option(text: str, options: Sequence[str]) -> str | None:
    """The letter of the option the text picks; None when it picks none.

    A lone "A" that begins an English sentence is the article, not an option: it counts only when it
    is bracketed, followed by punctuation, or is the whole text.

    Example:
        pick_option("So it is (B).", ["red", "blue"]) == "B"
    """
    letters = option_letters(len(options))
    for found in (_BRACKETED.findall(text), _standing_alone(text)):
        picked = [letter for letter in found if letter in letters]
        if picked:
            return picked[-1]
    return _by_text(text, options)


def _standing_alone(text: str) -> list[str]:
    found = []
    for match in _ALONE.finditer(text):
        is_article = match.group(1) in "AI" and text[match.end() : match.end() + 1].isspace()
        followed_by_word = re.match(r"\s+[a-z]", text[match.end() :]) is not None
        if not (is_article and followed_by_word):
            found.append(match.group(1))
    return found


def _by_text(text: str, options: Sequence[str]) -> str | None:
    lowered = " ".join(text.lower().split())
    present = [
        place
        for place, option in enumerate(options)
        if (content := " ".join(str(option).lower().split()))
        and re.search(rf"(?<!\w){re.escape(content)}(?!\w)", lowered)
    ]
    longest = [p for p in present if not _inside_another(p, present, options)]
    return option_letters(len(options))[longest[0]] if len(longest) == 1 else None


def _inside_another(place: int, present: Sequence[int], options: Sequence[str]) -> bool:
    """An option that is part of a longer one that occurs too ("red" in "red square")."""
    mine = str(options[place]).lower()
    return any(p != place and mine in str(options[p]).lower() != mine for p in present)
