"""Closed-form numbers: "3/4", "2\\sqrt{3}", "1 1/2", "1.2 * 10^5" → a value; no code is evaluated.

A recursive-descent reader over tokens. Values are exact fractions until a root or π makes them
irrational. Depth, digits and powers are bounded, so no text can make it slow or large.

    sum   := term (('+' | '-') term)*
    term  := power (('*' | '/' | nothing) power)*
    power := atom ('^' power)? '!'?
    atom  := number | fraction | root | π | '(' sum ')' | '{' sum '}' | '-' power
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

Value = Fraction | float

MAX_DEPTH = 24
MAX_DIGITS = 400
MAX_TOKENS = 200
MAX_EXPONENT = 400
MAX_BITS = 4096


class NotANumber(Exception):
    """The text is not a closed-form number; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    """"number", "command", "name" or the operator itself."""
    text: str
    start: int
    end: int
    spaced: bool
    """Whether whitespace stands before it."""


_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,4}(?![0-9A-Za-z]))?|\.[0-9]+)"
    r"|(?P<command>\\[a-zA-Z]+)|(?P<name>[a-zA-Z]+)|(?P<op>[-+*/^(){}\[\]!|:])"
)
_STARTS_FACTOR = {"number", "(", "{", "command"}
_COMMANDS = {"\\frac", "\\sqrt", "\\pi"}


def tokenize(text: str) -> list[Token]:
    """Tokens up to the first character that belongs to no number; bounded in count."""
    tokens, position, spaced = [], 0, False
    while position < len(text) and len(tokens) < MAX_TOKENS:
        match = _TOKEN.match(text, position)
        if match is None:
            break
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            spaced = True
            continue
        value = match.group()
        kind = value if kind == "op" else kind
        tokens.append(Token(kind, value, match.start(), match.end(), spaced))
        spaced = False
    return tokens


@dataclass(frozen=True, slots=True)
class Reading:
    """A number read from the front of a text.

    Example:
        read_number("12 cm") → Reading(value=Fraction(12), literal="12", end=2)
    """

    value: Value
    literal: str | None
    """The plain decimal it was written as, None for anything composed."""
    end: int
    """Where the rest of the text begins."""


def read_number(text: str) -> Reading:
    """The longest closed-form number at the front of ``text``; raises NotANumber."""
    reader = _Reader(tokenize(text))
    value = reader.sum(0)
    used = reader.tokens[: reader.position]
    end = used[-1].end
    if reader.position >= MAX_TOKENS:
        raise NotANumber("too long")
    return Reading(value, _literal(used), end)


def _literal(used: list[Token]) -> str | None:
    """The decimal itself when nothing but a sign, digits and a power of ten was written."""
    words = [token.text for token in used]
    sign = ""
    while words and words[0] in "+-":
        sign = "-" if (words[0] == "-") != (sign == "-") else ""
        words = words[1:]
    if len(words) == 1 and used[-1].kind == "number":
        return sign + words[0]
    return None


class _Reader:
    """Where the reading stands in the tokens."""

    def __init__(self, tokens: list[Token]):
        self.tokens = tokens
        self.position = 0

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def kind(self, ahead: int = 0) -> str:
        token = self.peek(ahead)
        return token.kind if token else ""

    def take(self, kind: str) -> Token:
        token = self.peek()
        if token is None or token.kind != kind:
            raise NotANumber(f"expected {kind}")
        self.position += 1
        return token

    def sum(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise NotANumber("nested too deep")
        value = self.term(depth)
        while self.kind() in ("+", "-"):
            sign = self.take(self.kind()).kind
            value = _add(value, self.term(depth), sign)
        return value

    def term(self, depth: int) -> Value:
        value = self.power(depth)
        while True:
            kind = self.kind()
            if kind in ("*", "/", ":"):
                self.take(kind)
                other = self.power(depth)
                value = _multiply(value, other) if kind == "*" else _divide(value, other)
            elif self._multiplies_silently():
                value = _multiply(value, self.power(depth))
            else:
                return value

    def _multiplies_silently(self) -> bool:
        token = self.peek()
        if token is None or token.kind not in _STARTS_FACTOR:
            return False
        if token.kind == "command" and token.text not in _COMMANDS:
            return False
        if token.kind == "number":  # "2 3" is two numbers, ")3" is nothing anyone writes
            raise NotANumber("two numbers side by side")
        return True

    def power(self, depth: int) -> Value:
        negative = False
        for _ in range(MAX_DEPTH):
            if self.kind() not in ("+", "-"):
                break
            negative ^= self.take(self.kind()).kind == "-"
        base = self.atom(depth)
        if self.kind() == "!":
            self.take("!")
            base = _factorial(base)
        if self.kind() == "^":
            self.take("^")
            base = _raise(base, self.exponent(depth + 1))
        return -base if negative else base

    def exponent(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise NotANumber("nested too deep")
        return self.power(depth)

    def atom(self, depth: int) -> Value:
        token = self.peek()
        if token is None:
            raise NotANumber("ends too early")
        if token.kind == "number":
            return self._number(depth)
        if token.kind in ("(", "{"):
            return self._enclosed(token.kind, depth)
        if token.kind == "command" and token.text in _COMMANDS:
            self.take("command")
            return self._command(token.text, depth)
        raise NotANumber(f"'{token.text}' is no number")

    def _enclosed(self, opening: str, depth: int) -> Value:
        self.take(opening)
        value = self.sum(depth + 1)
        self.take(")" if opening == "(" else "}")
        return value

    def _number(self, depth: int) -> Value:
        token = self.take("number")
        value = parse_decimal(token.text)
        following = self.peek()
        if value.denominator != 1 or following is None or "." in token.text:
            return value
        if following.text == "\\frac":
            return self._mixed(value, depth)
        if following.kind == "number" and following.spaced and self.kind(1) == "/":
            return self._mixed(value, depth)
        return value

    def _mixed(self, whole: Fraction, depth: int) -> Value:
        """ "2 1/2" and "2\\frac{1}{2}" add; "2\\frac{\\pi}{2}" and "2\\frac{3}{2}" multiply."""
        written = self.kind() == "number"
        if written:
            top = parse_decimal(self.take("number").text)
            self.take("/")
            part = _divide(top, parse_decimal(self.take("number").text))
        else:
            self.take("command")
            part = self._command("\\frac", depth)
        if isinstance(part, Fraction) and 0 < part < 1:
            return whole + part
        if written:
            raise NotANumber("two numbers side by side")
        return _multiply(whole, part)

    def _command(self, name: str, depth: int) -> Value:
        if name == "\\pi":
            return math.pi
        if name == "\\frac":
            top = self._argument(depth)
            return _divide(top, self._argument(depth))
        degree: Value = Fraction(2)
        if self.kind() == "[":
            self.take("[")
            degree = self.sum(depth + 1)
            self.take("]")
        return _root(self._argument(depth), degree)

    def _argument(self, depth: int) -> Value:
        """``{…}``, or one digit or command as in \\frac12 and \\sqrt3."""
        token = self.peek()
        if token is None:
            raise NotANumber("ends too early")
        if token.kind == "number" and len(token.text) > 1 and "." not in token.text:
            return self._first_digit(token)
        if token.kind in ("{", "(", "number"):
            return self.atom(depth + 1)
        if token.kind == "command" and token.text in _COMMANDS:
            self.take("command")
            return self._command(token.text, depth + 1)
        raise NotANumber("an argument is missing")

    def _first_digit(self, token: Token) -> Value:
        """\\frac12 reads 1, then 2: split the token and leave the rest in place."""
        rest = Token("number", token.text[1:], token.start + 1, token.end, False)
        self.tokens[self.position] = rest
        return Fraction(int(token.text[0]))


def parse_decimal(text: str) -> Fraction:
    if len(text) > MAX_DIGITS:
        raise NotANumber("too many digits")
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        raise NotANumber("too large")
    return Fraction(mantissa.rstrip(".") or "0") * Fraction(10) ** int(exponent or 0)


def _finite(value: Value) -> Value:
    if isinstance(value, Fraction):
        if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
            raise NotANumber("too large")
    elif not math.isfinite(value):
        raise NotANumber("not finite")
    return value


def _float(value: Value) -> float:
    try:
        return float(value)
    except OverflowError:
        raise NotANumber("too large") from None


def _pair(left: Value, right: Value) -> tuple[Value, Value]:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left, right
    return _float(left), _float(right)


def _add(left: Value, right: Value, sign: str) -> Value:
    a, b = _pair(left, right)
    return _finite(a + b if sign == "+" else a - b)  # type: ignore[operator]


def _multiply(left: Value, right: Value) -> Value:
    a, b = _pair(left, right)
    return _finite(a * b)  # type: ignore[operator]


def _divide(left: Value, right: Value) -> Value:
    if right == 0:
        raise NotANumber("division by zero")
    a, b = _pair(left, right)
    return _finite(a / b)  # type: ignore[operator]


def _factorial(value: Value) -> Value:
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= 50:
        raise NotANumber("no factorial")
    return Fraction(math.factorial(int(value)))


def _raise(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator != 1:
        return _root(_raise(base, Fraction(exponent.numerator)), Fraction(exponent.denominator))
    if not isinstance(exponent, Fraction) or abs(exponent) > MAX_EXPONENT:
        raise NotANumber("no such power")
    power = int(exponent)
    if base == 0 and power <= 0:
        raise NotANumber("zero to no positive power")
    if isinstance(base, Fraction):
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(power) > MAX_BITS:
            raise NotANumber("too large")
        return base**power
    try:
        return _finite(base**power)
    except OverflowError:
        raise NotANumber("too large") from None


def _root(value: Value, degree: Value) -> Value:
    if not isinstance(degree, Fraction) or degree.denominator != 1 or not 2 <= degree <= 60:
        raise NotANumber("no such root")
    order = int(degree)
    if value < 0 and order % 2 == 0:
        raise NotANumber("root of a negative number")
    if isinstance(value, Fraction):
        exact = _exact_root(abs(value), order)
        if exact is not None:
            return -exact if value < 0 else exact
    root = abs(_float(value)) ** (1 / order)
    return -root if value < 0 else root


def _exact_root(value: Fraction, order: int) -> Fraction | None:
    top, bottom = _integer_root(value.numerator, order), _integer_root(value.denominator, order)
    return Fraction(top, bottom) if top is not None and bottom is not None else None


def _integer_root(value: int, order: int) -> int | None:
    if order == 2:
        root = math.isqrt(value)
    else:
        if value.bit_length() > 1000:
            return None
        root = round(value ** (1 / order))
    return root if root**order == value else None
