"""Answers in words: compared without case, articles, punctuation, and with known variants."""

import json
import re
from functools import lru_cache

from observe_r1.grading.clean import MAX_ANSWER_CHARS, clean
from observe_r1.grading.quantity import strip_lead

_SAME = {
    "true": "yes", "correct": "yes", "false": "no", "incorrect": "no",
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10", "grey": "gray", "colour": "color",
    "centre": "center",
}  # fmt: skip
_SUBJECT = re.compile(r"^(?:it|this|that|they|there)\s+(?:is|are|was|were)\s+", re.I)
_ARTICLES = frozenset({"a", "an", "the"})
_WORD = re.compile(r"[^\W_]+(?:\.[0-9]+)?|[-+%]")


def accepted_variants(gold: str) -> tuple[str, ...]:
    """Every accepted wording of a gold: a JSON list, or texts parted by " | "."""
    if gold.lstrip().startswith('["'):
        try:
            listed = json.loads(gold)
        except ValueError:
            listed = None
        if isinstance(listed, list) and listed and all(isinstance(v, str) for v in listed):
            return tuple(listed)
    return tuple(part for part in gold.split(" | ") if part.strip())


@lru_cache(maxsize=4096)
def normalise(text: str) -> tuple[str, ...]:
    """The words that matter, in order.

    Example:
        normalise("The Red Square.") → ("red", "square")
    """
    words: list[str] = _WORD.findall(clean(text).casefold())
    words = [_SAME.get(word, word) for word in words if word not in _ARTICLES]
    words = [word.lstrip("0") or "0" if word.isdecimal() else word for word in words]
    while words and words[0] == "-":
        words = words[1:]
    return tuple(word for word in words if word != "-")


def same_words(answer: str, gold: str) -> bool:
    """Whether the answer is one of the gold's accepted wordings."""
    if len(answer) > MAX_ANSWER_CHARS:
        return False
    wanted = {normalise(variant) for variant in accepted_variants(gold)} - {()}
    said = normalise(answer)
    if said in wanted:
        return True
    stripped = _SUBJECT.sub("", strip_lead(clean(answer)))
    if normalise(stripped) in wanted:
        return True
    return _yes_or_no(said, wanted)


def _yes_or_no(said: tuple[str, ...], wanted: set[tuple[str, ...]]) -> bool:
    """ "Yes, because …" is yes, as long as it does not say no as well."""
    for verdict, opposite in (("yes", "no"), ("no", "yes")):
        if (verdict,) in wanted and said[:1] == (verdict,):
            return opposite not in said
    return False
