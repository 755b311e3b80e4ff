"""Units an answer may carry, and the words around a number that change nothing.

A unit is a dimension and a factor. Two known units must agree in dimension and are converted; a
unit on one side only is taken as understood ("12" for "12 cm").
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Unit:
    """Example: Unit("length", Fraction(1, 100)) is a centimetre."""

    dimension: str
    factor: Fraction


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}

    def add(dimension: str, factor: str, names: str) -> None:
        for name in names.split():
            units[name] = Unit(dimension, Fraction(factor))

    add("length", "1", "m meter meters metre metres")
    add("length", "1/10", "dm decimeter decimeters decimetre decimetres")
    add("length", "1/100", "cm centimeter centimeters centimetre centimetres cms")
    add("length", "1/1000", "mm millimeter millimeters millimetre millimetres")
    add("length", "1000", "km kilometer kilometers kilometre kilometres kms")
    add("length", "0.0254", "in inch inches")
    add("length", "0.3048", "ft foot feet")
    add("length", "0.9144", "yd yard yards yds")
    add("length", "1609.344", "mi mile miles")
    add("mass", "1", "kg kilogram kilograms kgs")
    add("mass", "1/1000", "g gram grams")
    add("mass", "1/1000000", "mg milligram milligrams")
    add("mass", "1000", "tonne tonnes")
    add("mass", "0.45359237", "lb lbs pound pounds")
    add("time", "1", "s sec secs second seconds")
    add("time", "60", "min mins minute minutes")
    add("time", "3600", "h hr hrs hour hours")
    add("time", "86400", "day days")
    add("time", "1/1000", "ms millisecond milliseconds")
    add("angle", "1", "deg degs degree degrees")
    add("radian", "1", "rad rads radian radians")
    add("volume", "1/1000", "l L liter liters litre litres")
    add("volume", "1/1000000", "ml mL milliliter milliliters millilitre millilitres")
    add("percent", "1/100", "% percent percents per-cent")
    add("dollar", "1", "dollars_sign dollar dollars USD usd")
    add("dollar", "1/100", "cent cents ¢")
    add("euro", "1", "€ euro euros EUR")
    add("sterling", "1", "£ GBP")
    add("unit", "1", "unit units u")
    add("unit^2", "1", "sq.units squnits")
    add("force", "1", "N newton newtons")
    add("energy", "1", "J joule joules")
    add("power", "1", "W watt watts")
    add("voltage", "1", "V volt volts")
    add("current", "1", "A amp amps ampere amperes")
    add("resistance", "1", "Ω ohm ohms")
    add("frequency", "1", "Hz hertz")
    add("pressure", "1", "Pa pascal pascals")
    add("temperature", "1", "K kelvin kelvins")
    return units


_UNITS = _table()
_MULTIPLIERS = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12,
}  # fmt: skip
_POWERS = {"square": 2, "squared": 2, "sq": 2, "sq.": 2, "cubic": 3, "cubed": 3, "cu": 3, "cu.": 3}

_WORD = re.compile(r"[^\W\d_]+\.?|dollars_sign|[%€£¢Ω]|\^\{?-?[0-9]\}?|[0-9]|[*/.()-]|\s+|\S")
_EXPONENT = re.compile(r"\^?\{?-?[0-9]\}?", re.ASCII)
_NOISE_WORD = re.compile(r"[^\W\d_]{3,}$")
_SHORT_WORDS = _words("of in at is to by on as it an a so we be if my")
CHANGES_MEANING = _words(
    "not no nor neither never none or and minus plus times over per half halves third thirds "
    "quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths "
    "ninth ninths tenth tenths hundredth hundredths thousandth thousandths twice double triple "
    "doubled tripled more less greater fewer above below least most between than except but "
    "without factorial root sum difference product ratio either else otherwise wrong incorrect "
    "false instead unknown impossible maybe perhaps possibly negative mod modulo log exp point "
    "multiplied divided from until through cannot "
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty "
    "forty fifty sixty seventy eighty ninety"
)
"""Words that can turn a number into another: text holding one is not read as noise."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows a number: a unit, a multiplier, and whether the rest is harmless."""

    unit: Unit | None = None
    multiplier: int = 1
    rest: str = ""
    """Text after the unit, still to be judged by the caller."""


@lru_cache(maxsize=4096)
def read_tail(text: str) -> Tail:
    """The unit or multiplier at the front of what follows a number."""
    words = _WORD.findall(text)
    multiplier, position = _read_multiplier(words)
    unit, position = _read_compound(words, position)
    return Tail(unit, multiplier, "".join(words[position:]).strip())


def _skip_space(words: list[str], position: int) -> int:
    while position < len(words) and (words[position].isspace() or words[position] in "()"):
        position += 1
    return position


def _read_multiplier(words: list[str]) -> tuple[int, int]:
    position = _skip_space(words, 0)
    if position < len(words) and words[position].lower() in _MULTIPLIERS:
        return _MULTIPLIERS[words[position].lower()], position + 1
    return 1, 0


def _read_compound(words: list[str], start: int) -> tuple[Unit | None, int]:
    """``cm``, ``cm^2``, ``square cm``, ``m/s``, ``km per hour``: the longest unit there is."""
    unit, position = _read_simple(words, start)
    if unit is None:
        return None, start
    while True:
        after = _skip_space(words, position)
        if after >= len(words) or words[after] not in ("/", "per", "*"):
            return unit, position
        other, end = _read_simple(words, after + 1)
        if other is None:
            return unit, position
        unit, position = _combine(unit, other, words[after] != "*"), end


def _combine(left: Unit, right: Unit, divide: bool) -> Unit:
    sign = "/" if divide else "*"
    factor = left.factor / right.factor if divide else left.factor * right.factor
    return Unit(f"{left.dimension}{sign}{right.dimension}", factor)


def _read_simple(words: list[str], start: int) -> tuple[Unit | None, int]:
    position = _skip_space(words, start)
    power = 1
    if position < len(words) and words[position].lower() in _POWERS:
        power = _POWERS[words[position].lower()]
        position = _skip_space(words, position + 1)
    unit = _lookup(words[position]) if position < len(words) else None
    if unit is None:
        return None, start
    position += 1
    after = _skip_space(words, position)
    if after < len(words) and words[after].lower() in _POWERS and power == 1:
        return _to_power(unit, _POWERS[words[after].lower()]), after + 1
    if position < len(words) and _EXPONENT.fullmatch(words[position]):
        power *= int(words[position].strip("^{}"))
        position += 1
    return _to_power(unit, power), position


def _to_power(unit: Unit, power: int) -> Unit:
    return unit if power == 1 else Unit(f"{unit.dimension}^{power}", unit.factor**power)


def _lookup(word: str) -> Unit | None:
    bare = word.rstrip(".")
    found = _UNITS.get(bare)
    if found is None and len(bare) > 1:
        found = _UNITS.get(bare.lower())
    return found


def is_noise(text: str, limit: int = 8) -> bool:
    """Whether words after a number leave it as it is: "apples", "is the length of the side"."""
    words = _spoken(text)
    if len(words) > limit:
        return False
    return all(
        not word
        or (_is_harmless(word) and (word.lower() in _SHORT_WORDS or _NOISE_WORD.match(word)))
        for word in words
    )


_FUNCTIONS = _words(
    "sin cos tan cot sec csc ln lg arcsin arccos arctan sinh cosh tanh sqrt abs max min gcd lcm "
    "floor ceil det"
)
_NAMES = re.compile(
    r"\\(?:angle|measuredangle|triangle|square|overline|widehat|hat|vec|theta|alpha|beta|gamma|phi"
    r"|lambda|mu|therefore|because|implies|Rightarrow)(?![a-zA-Z])"
)
"""What a quantity may be called before it is stated."""


def is_lead(text: str, limit: int = 20) -> bool:
    """Whether words before a number leave it as it is: "So the length of AB is"."""
    words = _spoken(re.sub(r"[{}]", " ", _NAMES.sub(" ", text)))
    return len(words) <= limit and all(
        not word
        or (
            _is_harmless(word)
            and word.lower() not in _FUNCTIONS
            and word.replace("'", "").isalpha()
        )
        for word in words
    )


def _spoken(text: str) -> list[str]:
    return [word.strip(".'\"#") for word in re.sub(r"[,:()]", " ", text).split()]


def _is_harmless(word: str) -> bool:
    lowered = word.lower()
    return not (lowered in CHANGES_MEANING or lowered in _MULTIPLIERS or lowered in _POWERS)
