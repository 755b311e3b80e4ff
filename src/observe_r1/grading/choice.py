"""Which option an answer picks: by letter, by the option's own text, or by both where they agree.

Letters are tokens, never substrings ("Many" is not A). Naming several options is no pick.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from observe_r1.grading.clean import MAX_ANSWER_CHARS, clean, squeeze
from observe_r1.grading.quantity import read_quantity, same_quantity

OPEN_LETTERS = "ABCDEFGHIJ"
"""Letters that count where the options are not known."""

_BARE = re.compile(r"^[\s(\[{<*\"'`]*([A-Za-z])[\s)\]}>*\"'`.:,;]*$")
_LED = re.compile(r"^[\s(\[*]*([A-Z])(?:\s*[)\]*]*\s*[.:,)\-]|\s*[)\]]|\s*=)[\s*)]*(?=\S)")
_TOKEN = re.compile(r"(?<![A-Za-z0-9\\_'$^])([A-Z])(?![A-Za-z0-9_'^]|\s*\\?[=+*<>])")
_SHOWN = re.compile(r"\(([A-Z])\)")
_ANSWER_IS = re.compile(
    r"(?:answer|choice|option)(?:\s+(?:is|are|would be|must be|should be|:)|\s*[:=])\s*", re.I
)
_NAMED = re.compile(r"\b(?:option|choice|answer|letter)\s*[(*]*([A-Z])\b", re.I)
_NEGATION = re.compile(
    r"\b(?:not|n't|neither|nor|except|isn't|aren't|wrong|incorrect|false|cannot|can't|none)\b|n't\b",
    re.I,
)
_JOINS = r"(?!(?:or|and|maybe|but|unless|then|is|was|because|with|if|since|has|would|seems)\b)"
_ARTICLE = re.compile(rf"(?:^|[.!?:,]\s+)A\s+{_JOINS}[a-z]|(?:^|\s)I\s+{_JOINS}[a-z']")


def read_choice(text: str, options: Sequence[str] | None, letters: str) -> tuple[str | None, str]:
    """The letter an answer picks, or None, and how it was read."""
    if len(text) > MAX_ANSWER_CHARS:
        return None, "the answer is too long to be a choice"
    text = clean(text)
    known = _known_options(tuple(options or ()))
    bare = _BARE.match(text)
    if bare and bare[1].upper() in letters and (bare[1].isupper() or not _is_text(text, known)):
        return bare[1].upper(), "a letter"
    if _is_text(text, known):
        return _by_text(text, known), "an option's own text"
    return _read_sentence(text, known, letters)


def _read_sentence(text: str, known: tuple[str, ...], letters: str) -> tuple[str | None, str]:
    led = _LED.match(text)
    if led and led[1] in letters:
        return _read_led(led[1], text[led.end() :], known, letters)
    by_text = _by_text(text, known)
    if by_text is not None:
        return by_text, "an option's own value"
    marked = _after_marker(text)
    if marked is not None and marked != text:
        return read_choice(marked, known, letters)
    if _NEGATION.search(text):
        return None, "the answer speaks of what it is not"
    return _from_letters(text, known, letters)


def _read_led(
    letter: str, rest: str, known: tuple[str, ...], letters: str
) -> tuple[str | None, str]:
    """ "B. 12 cm": the text may explain the letter; it may not name another option."""
    by_text = _by_text(rest, known)
    if by_text is not None:
        own = known[letters.index(letter)] if letters.index(letter) < len(known) else None
        if by_text != letter and (own is None or squeeze(own) != squeeze(rest)):
            return None, f"the letter {letter} with the text of option {by_text}"
        return letter, "a letter and its text"
    rest = _without_own_text(letter, rest, known, letters)
    others = {*_letters_in(rest, letters), *_contained(rest, known)} - {letter}
    if others:
        return None, "the answer names several options: " + ", ".join(sorted({letter, *others}))
    return letter, "a letter, then text"


def _without_own_text(letter: str, rest: str, known: tuple[str, ...], letters: str) -> str:
    """Text after the letter, without the option's own words: they may name other letters."""
    index = letters.index(letter)
    own = known[index] if index < len(known) else ""
    return rest.replace(own, " ", 1) if own else rest


def _after_marker(text: str) -> str | None:
    """What follows the last "the answer is"."""
    found = list(_ANSWER_IS.finditer(text))
    rest = text[found[-1].end() :].strip() if found else ""
    return rest or None


def _from_letters(text: str, known: tuple[str, ...], letters: str) -> tuple[str | None, str]:
    named = {match[1].upper() for match in _NAMED.finditer(text) if match[1].upper() in letters}
    named = named or {letter for letter in _SHOWN.findall(text) if letter in letters}
    contained = _contained(text, known)
    found = named | {*_letters_in(text, letters), *contained}
    if len(found) == 1:
        return found.pop(), "the only option named"
    if found:
        return None, "the answer names several options: " + ", ".join(sorted(found))
    return None, "no option is named"


def _letters_in(text: str, letters: str) -> list[str]:
    """Standalone capital letters, without the article A and the pronoun I."""
    for match in list(_ARTICLE.finditer(text))[::-1]:
        start = match.start() + re.search("[AI]", match.group()).start()  # type: ignore[union-attr]
        text = text[:start] + " " + text[start + 1 :]
    return [letter for letter in _TOKEN.findall(text) if letter in letters]


@lru_cache(maxsize=2048)
def _known_options(options: tuple[str, ...]) -> tuple[str, ...]:
    """Option texts; none where they only repeat letters or stand for pictures."""
    cleaned = tuple(clean(option) for option in options)
    telling = [o for o in cleaned if not re.fullmatch(r"\(?[A-Z]\)?|<image ?\d*>|", o)]
    return cleaned if telling else ()


@lru_cache(maxsize=2048)
def _squeezed(known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(squeeze(option) for option in known)


def _is_text(text: str, known: tuple[str, ...]) -> bool:
    return squeeze(text) in _squeezed(known)


def _by_text(text: str, known: tuple[str, ...]) -> str | None:
    """The one option whose text, or whose number, the answer is."""
    if not known:
        return None
    wanted = squeeze(text)
    same = [i for i, option in enumerate(_squeezed(known)) if option == wanted and option]
    if not same:
        same = _by_number(text, known)
    return chr(ord("A") + same[0]) if len(same) == 1 else None


def _by_number(text: str, known: tuple[str, ...]) -> list[int]:
    answer = read_quantity(text)
    if answer is None:
        return []
    golds = [(i, read_quantity(option)) for i, option in enumerate(known)]
    return [i for i, gold in golds if gold is not None and same_quantity(gold, answer)]


def _contained(text: str, known: tuple[str, ...]) -> list[str]:
    """Options whose text stands in the answer as words; longer ones hide those inside them."""
    lowered = f" {re.sub(r'[^a-z0-9]+', ' ', text.casefold()).strip()} "
    found = []
    order = sorted(range(len(known)), key=lambda i: -len(known[i]))
    for index in order:
        words = re.sub(r"[^a-z0-9]+", " ", known[index].casefold()).strip()
        if len(words) >= 2 and f" {words} " in lowered:
            found.append(chr(ord("A") + index))
            lowered = lowered.replace(f" {words} ", " ")
    return sorted(found)


def gold_letter(gold: str, options: Sequence[str] | None) -> str | None:
    """The letter of a gold given as "B", "(B)", "B." or as an option's text, None otherwise."""
    text = clean(gold)
    match = re.fullmatch(r"[(\[]?([A-Za-z])[)\].:]*", text)
    known = tuple(clean(option) for option in options or ())
    if match and (match[1].isupper() or not known) and _in_range(match[1].upper(), known):
        return match[1].upper()
    same = [i for i, option in enumerate(known) if squeeze(option) == squeeze(text)]
    if same:
        return chr(ord("A") + same[0])
    if match and _in_range(match[1].upper(), known):
        return match[1].upper()
    return None


def _in_range(letter: str, known: tuple[str, ...]) -> bool:
    return not known or ord(letter) - ord("A") < len(known)


def letters_for(options: Sequence[str] | None, gold: str) -> str:
    """The letters that count: the item's own, else A to J and up to the gold."""
    if options:
        return "".join(chr(ord("A") + i) for i in range(min(len(options), 26)))
    return OPEN_LETTERS if gold in OPEN_LETTERS else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
