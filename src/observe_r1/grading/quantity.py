"""Numbers as people write them: with units, percent, separators, words, an equals sign before.

    "The area is 3 · 4 = 12 cm²"  →  sides "3 · 4", "12 cm²"  →  12, unit cm²

Reading returns every side of an equation as long as they agree; an answer that contradicts itself
("3 = 5") or lists several numbers is not a number.
"""

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from observe_r1.grading.arithmetic import NotANumber, Value, read_number
from observe_r1.grading.clean import MAX_ANSWER_CHARS, clean
from observe_r1.grading.units import Unit, is_lead, is_noise, read_tail

EXACT_DIGITS = 6
"""Significant digits from which a decimal stands for an exact gold such as 1/3 or 5√2."""
ROUNDED_DIGITS = 3
"""Significant digits from which a decimal gold is taken as rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number as it was written.

    Example:
        read_quantity("23.2 cm") → Quantity(value=Fraction(116, 5), decimals=1, digits=3, unit=cm)
    """

    value: Value
    decimals: int | None = None
    """Digits after the point of a plain decimal; None for composed numbers."""
    digits: int | None = None
    """Significant digits of a plain decimal."""
    unit: Unit | None = None
    approximate: bool = False
    """Marked as approximate: "≈ 5", "about 5"."""
    label: str | None = None
    """The single symbol before the equals sign: "x" in "x = 5"."""

    @property
    def is_percent(self) -> bool:
        return self.unit is not None and self.unit.dimension == "percent"


_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})+(?![0-9]| [0-9])")
_PLAIN = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_TIMES_TEN = re.compile(r"(?<=[0-9])\s*[xX]\s*(?=10\s*\^)")
_BARE_ROOT = re.compile(r"(?<![a-zA-Z\\])sqrt\s*(?:\(([^()]*)\)|([0-9]+))")
BARE_PI = re.compile(r"(?<![a-zA-Z\\])pi(?![a-zA-Z])")
_RATIO_WORDS = re.compile(r"^([0-9]+)\s+to\s+([0-9]+)$")
_UNIT_FRACTION = re.compile(
    r"(?<=[0-9\s])\\frac\s*\{\s*([a-zA-Z]+)\s*\}\s*\{\s*([a-zA-Z^0-9{}]+?)\s*\}"
)
_ABOUT = re.compile(
    r"^(?:(?:is|are|=)\s+)?(?:approximately|approx\.?|about|around|roughly|nearly|≈)\s*", re.I
)
_LEAD = re.compile(
    r"^(?:(?:so|thus|hence|therefore|then|and)\b,?\s*)?(?:the\s+|my\s+)?"
    r"(?:final\s+|correct\s+|right\s+|numerical\s+|exact\s+)?(?:answer|result|solution|value|option|choice)"
    r"(?:\s+(?:is|are|equals|would be|will be|=|:)|\s*[:=])[\s:=]*(?:option|choice)?\s*",
    re.I,
)
_CURRENCY = re.compile(r"^(?:US\s*)?(dollars_sign|€|£)\s*")
_SIDES = re.compile(r"\s*(?:=|≈|\\equiv(?![a-zA-Z]))+\s*")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|lt|gt|ne|neq)(?![a-zA-Z])|(?<![0-9)])\s*!=")
_FIRST_NUMBER = re.compile(r"(?:[-+]\s*)?(?:\\frac|\\sqrt|\\pi|\.?[0-9]|\()")
_LEADS_TO_SIGN = frozenset(
    "is are equals equal be was to value answer result of exactly so get gives".split()  # noqa: SIM905
)
_LABEL = re.compile(
    r"^[A-Za-z](?:_\{?[A-Za-z0-9]\}?)?$|^\\(?:theta|alpha|beta|phi|gamma|lambda|mu)$"
)
_COEFFICIENT = re.compile(
    r"^-?\s*(?:[0-9.]+\s*\*?\s*[a-z]|[a-z]\s*[-+/*^]\s*[0-9].*|[0-9.]+\s*[-+/]\s*[a-z])$|^-\s*[a-z]$"
)
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORD_VALUES = {word: value for value, word in enumerate(_SMALL.split())}
_WORD_VALUES |= {word: 20 + 10 * index for index, word in enumerate(_TENS.split())}


_LOOSE = re.compile(
    r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,30})(?:\.[0-9]{1,30})?(?:/[0-9]{1,30})?(?:\s*%)?"
)


def last_number(text: str) -> Quantity | None:
    """The last number that stands anywhere in a text: for untagged answers only."""
    found = _LOOSE.findall(clean(text[-MAX_ANSWER_CHARS:]))
    return read_quantity(found[-1]) if found else None


def strip_lead(text: str) -> str:
    """Without "The answer is", "So the final result:" and the like."""
    return _LEAD.sub("", text, count=1).strip()


@lru_cache(maxsize=8192)
def read_quantities(text: str, *, spaced_thousands: bool = True) -> tuple[Quantity, ...]:
    """Every side of what the text states, in order; empty when it does not state one number."""
    if len(text) > MAX_ANSWER_CHARS:
        return ()
    if _PLAIN.fullmatch(text):
        return (_plain(text),)
    text = strip_lead(clean(text))
    text = _THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)
    if spaced_thousands:
        text = _SPACED_THOUSANDS.sub(lambda m: m.group().replace(" ", ""), text)
    text = _TIMES_TEN.sub(" * ", text)
    text = _BARE_ROOT.sub(lambda m: "\\sqrt{" + (m[1] or m[2] or "") + "}", text)
    text = BARE_PI.sub("\\\\pi", text)
    text = _RATIO_WORDS.sub(r"\1:\2", text)
    text = _UNIT_FRACTION.sub(r" \1/\2", text)
    if not text or "±" in text or "\\pm" in text:
        return ()
    try:
        return _read_sides(text)
    except NotANumber:
        return ()


def _plain(text: str) -> Quantity:
    decimals, digits = _precision(text)
    return Quantity(value=Fraction(text), decimals=decimals, digits=digits)


def read_quantity(text: str, *, spaced_thousands: bool = True) -> Quantity | None:
    """The number a text states: the last side of its equation."""
    sides = read_quantities(text, spaced_thousands=spaced_thousands)
    return sides[-1] if sides else None


def _read_sides(text: str) -> tuple[Quantity, ...]:
    parts = _SIDES.split(text)
    if any("," in part for part in parts[1:]) or _RELATION.search(text):
        raise NotANumber("several statements, or no equation")
    signs = [match.group().strip() for match in _SIDES.finditer(text)]
    sides = [_read_side(part) for part in parts]
    last = sides[-1]
    if last is None:
        raise NotANumber("the last side is no number")
    first = parts[0].strip()
    if len(parts) > 1 and sides[0] is None and _COEFFICIENT.match(first):
        raise NotANumber("an equation that is not solved")
    label = first if len(parts) > 1 and _LABEL.match(first) else None
    numbers = []
    for index, side in enumerate(sides):
        if side is None:
            continue
        about = index > 0 and "≈" in signs[index - 1]
        numbers.append(replace(side, approximate=side.approximate or about, label=label))
    unit = None if last.is_percent else last.unit
    numbers = [replace(n, unit=unit) if n.unit is None else n for n in numbers]
    if not all(_agree(number, numbers[-1]) for number in numbers[:-1]):
        raise NotANumber("its sides differ")
    return tuple(numbers)


def _agree(left: Quantity, right: Quantity) -> bool:
    """Equal, or equal at the precision of the coarser decimal."""
    a, b = _in_base_units(left), _in_base_units(right)
    if a is None or b is None:
        return False
    coarse = [q.decimals for q in (left, right) if q.decimals is not None]
    if close(a, b):
        return True
    return bool(coarse) and _distance(left.value, right.value) <= 0.51 * 10.0 ** -min(coarse)


def _distance(left: Value, right: Value) -> float:
    """How far apart two values are; infinitely where a float cannot say."""
    try:
        return abs(float(left) - float(right))
    except OverflowError:
        return math.inf


def _in_base_units(quantity: Quantity) -> Value | None:
    if quantity.unit is None:
        return quantity.value
    if isinstance(quantity.value, Fraction):
        return quantity.value * quantity.unit.factor
    return quantity.value * float(quantity.unit.factor)


def _read_side(text: str) -> Quantity | None:
    """One side: words, a number, a unit; None when there is no number to read."""
    text = text.strip()
    about = _ABOUT.match(text)
    if about:
        text = text[about.end() :]
    text, currency = _strip_currency(text)
    negative = re.match(r"(?:negative|minus)\s+(?=[0-9.\\])", text, re.I)
    if negative:
        text = "-" + text[negative.end() :]
    quantity = _read_words(text) or _read_front(text)
    if quantity is None:
        return None
    if currency is not None:
        quantity = replace(quantity, unit=currency)
    return replace(quantity, approximate=about is not None)


def _strip_currency(text: str) -> tuple[str, Unit | None]:
    match = _CURRENCY.match(text)
    if match is None:
        return text, None
    return text[match.end() :], read_tail(match[1]).unit


def _read_front(text: str) -> Quantity | None:
    start = _FIRST_NUMBER.search(text)
    if start is None:
        return None
    before = text[: start.start()].strip()
    body = text[start.start() :]
    if before and not (_stands_apart(text[: start.start()], body) and is_lead(before)):
        return None
    try:
        reading = read_number(body)
    except NotANumber:
        return None
    value, decimals, digits = reading.value, *_precision(reading.literal)
    tail = read_tail(body[reading.end :])
    if tail.multiplier != 1:
        value, decimals, digits = value * tail.multiplier, None, None
    quantity = Quantity(value=value, decimals=decimals, digits=digits, unit=tail.unit)
    return _judge_rest(quantity, body[reading.end :], tail.rest)


def _stands_apart(before: str, body: str) -> bool:
    """Whether words before a number only lead up to it: "x3", "x 3" and "x - 3" are formulas."""
    if not before[-1].isspace() and before[-1] not in ":,":
        return False
    word = before.split()[-1]
    if len(word.strip("(\\")) == 1 and word.isalpha():
        return False
    return body[0] not in "-+(" or word.lower() in _LEADS_TO_SIGN or word.endswith((":", ","))


def _judge_rest(quantity: Quantity, written: str, rest: str) -> Quantity | None:
    """Text after number and unit: nothing, words that mean nothing, or a smaller unit to add."""
    if not rest:
        return quantity
    if quantity.unit is not None and re.match(r"(?:and\s+)?[0-9]", rest):
        return _add_smaller(quantity, re.sub(r"^and\s+", "", rest))
    if quantity.unit is None and not written[:1].isspace():
        return None  # "5x", "5(…": the text belongs to the number
    return quantity if is_noise(rest) else None


def _add_smaller(quantity: Quantity, rest: str) -> Quantity | None:
    """ "5 ft 3 in", "2 h 48 m": a second amount in a smaller unit of the same dimension."""
    assert quantity.unit is not None
    if quantity.unit.dimension == "time":
        rest = re.sub(r"(?<=[0-9])\s*m\b", " min", rest)
    smaller = _read_front(rest)
    if smaller is None or smaller.unit is None:
        return None
    if smaller.unit.dimension != quantity.unit.dimension:
        return None
    if smaller.unit.factor >= quantity.unit.factor:
        return None
    scaled = smaller.value * (smaller.unit.factor / quantity.unit.factor)  # type: ignore[operator]
    return replace(quantity, value=quantity.value + scaled, decimals=None, digits=None)  # type: ignore[operator]


def _precision(literal: str | None) -> tuple[int | None, int | None]:
    """Digits after the point and significant digits of a plain decimal."""
    if literal is None:
        return None, None
    mantissa, _, exponent = literal.lstrip("-").lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    decimals = len(fraction) - int(exponent or 0)
    return max(decimals, 0), len((whole + fraction).lstrip("0"))


def _read_words(text: str) -> Quantity | None:
    """ "Three", "twenty-five apples": number words alone, or with a noun."""
    words = text.lower().replace("-", " ").split()
    if not words or words[0] not in _WORD_VALUES:
        return None
    value, used = _WORD_VALUES[words[0]], 1
    if value >= 20 and len(words) > 1 and 1 <= _WORD_VALUES.get(words[1], 0) <= 9:
        value, used = value + _WORD_VALUES[words[1]], 2
    tail = read_tail(" " + " ".join(words[used:]))
    if (tail.rest and not is_noise(tail.rest, limit=3)) or tail.rest.split()[:1] == ["of"]:
        return None
    if tail.multiplier != 1 or any(word in _WORD_VALUES for word in words[used:]):
        return None
    return Quantity(value=Fraction(value), decimals=0, digits=len(str(value)), unit=tail.unit)


def close(left: Value, right: Value) -> bool:
    """Equal: exactly for fractions, to the last places of a float otherwise."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    try:
        a, b = float(left), float(right)
    except OverflowError:
        return False
    return abs(a - b) <= 1e-10 * max(abs(a), abs(b))


def same_quantity(gold: Quantity, answer: Quantity) -> bool:
    """Whether an answer states the gold's number."""
    if gold.label and answer.label and gold.label != answer.label:
        return False
    if gold.is_percent != answer.is_percent:
        return _same_with_percent(gold, answer)
    scale = _conversion(gold.unit, answer.unit)
    return scale is not None and _same_value(gold, answer, scale)


def _same_with_percent(gold: Quantity, answer: Quantity) -> bool:
    """50% is 0.5, and "50" where percent is understood; 0.5 is never 0.5%."""
    percent, bare = (gold, answer) if gold.is_percent else (answer, gold)
    if bare.unit is not None:
        return False
    if close(_scaled(percent.value, Fraction(1, 100)), bare.value):
        return True
    understood = gold.is_percent or abs(gold.value) > 1
    return understood and _same_value(gold, answer, Fraction(1))


def _conversion(gold: Unit | None, answer: Unit | None) -> Fraction | None:
    """What the answer is multiplied by to stand in the gold's unit; None when they cannot meet."""
    if gold is None or answer is None:
        return Fraction(1)
    if gold.dimension == answer.dimension:
        return answer.factor / gold.factor
    unnamed = ("unit", "unit^2", "unit^3")
    if gold.dimension in unnamed or answer.dimension in unnamed:
        return Fraction(1)
    return None


def _scaled(value: Value, scale: Fraction) -> Value:
    if scale == 1:
        return value
    return value * scale if isinstance(value, Fraction) else value * float(scale)


def _same_value(gold: Quantity, answer: Quantity, scale: Fraction) -> bool:
    value = _scaled(answer.value, scale)
    if close(gold.value, value):
        return True
    difference = _distance(gold.value, value)
    if gold.decimals is not None:
        return _rounds_to(gold, answer, value, difference)
    exact = answer.decimals is not None and (answer.digits or 0) >= EXACT_DIGITS
    return exact and difference <= 10.0 ** -(answer.decimals or 0) * float(scale)


def _rounds_to(gold: Quantity, answer: Quantity, value: Value, difference: float) -> bool:
    """A more precise answer is right when it rounds to a gold that was rounded itself.

    A gold of three significant digits and more with decimals (23.2) is taken as rounded; with two
    (0.33) only by an answer that no decimal can hold, such as 1/3 or π/9; an integer never.
    """
    decimals, digits = gold.decimals or 0, gold.digits or 0
    if decimals == 0 and not gold.approximate:
        return False
    if answer.decimals is not None and answer.decimals <= decimals:
        return False
    needed = ROUNDED_DIGITS if _terminates(value) else ROUNDED_DIGITS - 1
    if digits < needed and not gold.approximate:
        return False
    return difference <= 0.5 * 10.0**-decimals * (1 + 1e-9)


def _terminates(value: Value) -> bool:
    """Whether a value can be written as a finite decimal."""
    if not isinstance(value, Fraction):
        return False
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
