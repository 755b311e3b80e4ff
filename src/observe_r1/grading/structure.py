"""The outer form of a mathematical answer: set, list, tuple, interval, union, labelled values.

Forms are compared here, item by item; only single expressions are left to the number reader and
the math checker. That keeps order where it matters and treats (3, -4) as the point it is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

MAX_ITEMS = 64

Form = Literal["one", "list", "set", "tuple", "interval", "union"]


@dataclass(frozen=True, slots=True)
class Structure:
    """Example: read_structure("[1, 2)") → Structure("interval", ("1", "2"), brackets="[)")"""

    form: Form
    items: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """Symbols before the equals signs of the items ("x" and "y" in "x=1, y=2"), else empty."""
    brackets: str = ""
    parts: tuple["Structure", ...] = ()
    """The intervals of a union."""


_OPEN, _CLOSE = "([{", ")]}"
_WORDS = re.compile(r"\s*(?:,?\s*\b(?:and|or)\b|;|\\text\s*\{\s*(?:and|or)\s*\})\s*")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9,])")
_LABELLED = re.compile(r"^\s*(\\?[A-Za-z]+(?:_\{?[A-Za-z0-9]+\}?|')?)\s*=\s*([^=]+)$")
_MEMBER = re.compile(r"^\s*\\?[A-Za-z]\s*\\in(?![a-zA-Z])\s*")
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])|±")
_ENDPOINT = (
    r"(-?\s*(?:\\infty|[0-9]+(?:\.[0-9]+)?|[0-9]+/[0-9]+|\\frac\{[0-9]+\}\{[0-9]+\}"
    r"|\\sqrt\{[0-9]+\}))"
)
_RELATION = r"(<=|>=|<|>|\\le|\\ge|\\lt|\\gt)"
_ONE_SIDED = re.compile(rf"^([a-zA-Z])\s*{_RELATION}\s*{_ENDPOINT}$")
_REVERSED = re.compile(rf"^{_ENDPOINT}\s*{_RELATION}\s*([a-zA-Z])$")
_BETWEEN = re.compile(rf"^{_ENDPOINT}\s*{_RELATION}\s*([a-zA-Z])\s*{_RELATION}\s*{_ENDPOINT}$")


def split_top(text: str, separator: str = ",") -> list[str]:
    """Split at separators outside every bracket."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


@lru_cache(maxsize=4096)
def read_structure(text: str) -> Structure:
    """The outer form of a cleaned answer."""
    text = _MEMBER.sub("", text.strip()).strip()
    relation = _read_relation(text)
    if relation is not None:
        return relation
    for union in ("\\cup", "∪"):
        if union in text:
            return _read_union(text.split(union))
    enclosed = _read_enclosed(text)
    if enclosed is not None:
        return enclosed
    items = _items(text)
    if len(items) > 1:
        return _labelled("list", items)
    signs = _PLUS_MINUS.findall(text)
    if len(signs) == 1:
        both = [_PLUS_MINUS.sub(sign, text) for sign in ("+", "-")]
        return _labelled("list", [re.sub(r"^(.*=)?\s*\+", r"\1", item) for item in both])
    return Structure("one", (text,))


def _items(text: str) -> list[str]:
    if _THOUSANDS.fullmatch(text.strip()):
        return [text]
    pieces = [piece for part in _WORDS.split(text) for piece in split_top(part)]
    pieces = [piece.strip() for piece in pieces if piece.strip()]
    balanced = all(piece.count("(") == piece.count(")") for piece in pieces)
    return pieces if balanced and len(pieces) <= MAX_ITEMS else [text]


def _labelled(form: Form, items: list[str]) -> Structure:
    """Values with their symbols where every item has one and the symbols differ."""
    matches = [_LABELLED.match(item) for item in items]
    found = [match for match in matches if match is not None]
    if not found:
        return Structure(form, tuple(items))
    pairs = zip(matches, items, strict=True)
    values = [match[2].strip() if match else item for match, item in pairs]
    labels = tuple(match[1] for match in found)
    bases = {re.sub(r"_.*", "", label) for label in labels}
    distinct = len(found) == len(items) and len(bases) == len(items)
    return Structure(form, tuple(values), labels if distinct else ())


def _read_enclosed(text: str) -> Structure | None:
    inner = _inside_braces(text)
    if inner is not None:
        items = [piece.strip() for piece in split_top(inner) if piece.strip()]
        return _labelled("set", items) if len(items) <= MAX_ITEMS and "|" not in inner else None
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]" or not _is_one_group(text):
        return None
    items = [piece.strip() for piece in split_top(text[1:-1])]
    if len(items) < 2 or not all(items) or len(items) > MAX_ITEMS:
        return None
    brackets = text[0] + text[-1]
    if len(items) == 2 and (brackets != "()" or any("\\infty" in item for item in items)):
        return Structure("interval", tuple(items), brackets=brackets)
    return Structure("tuple", tuple(items), brackets=brackets)


def _inside_braces(text: str) -> str | None:
    """Inside of a set, "\\{1, 2\\}" or plain "{1, 2}"."""
    if text.startswith("\\{") and text.endswith("\\}"):
        return text[2:-2]
    if text.startswith("{") and text.endswith("}") and "," in text and _is_one_group(text):
        return text[1:-1]
    return None


def _is_one_group(text: str) -> bool:
    """Whether the first bracket closes at the very end."""
    depth = 0
    for index, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0:
            return index == len(text) - 1
    return False


def _read_union(pieces: list[str]) -> Structure:
    parts = []
    for piece in pieces:
        inner = read_structure(piece.strip())
        if inner.form == "tuple" and len(inner.items) == 2:
            inner = Structure("interval", inner.items, brackets=inner.brackets)
        parts.append(inner)
    return Structure("union", tuple(pieces), parts=tuple(parts[:MAX_ITEMS]))


def _read_relation(text: str) -> Structure | None:
    """ "x ≥ 2" is [2, ∞), "1 < x ≤ 3" is (1, 3], "x < 1 or x > 3" is their union."""
    if not re.search(r"[<>]|\\[lg][et](?![a-zA-Z])", text):
        return None
    pieces = [piece.strip() for piece in re.split(r",|\bor\b", text)]
    intervals = [_interval(piece) for piece in pieces[:MAX_ITEMS]]
    found = [interval for interval in intervals if interval is not None]
    if len(found) != len(pieces) or len({interval.labels for interval in found}) != 1:
        return None
    if len(found) == 1:
        return found[0]
    return Structure("union", tuple(pieces), labels=found[0].labels, parts=tuple(found))


def _interval(text: str) -> Structure | None:
    between = _BETWEEN.match(text)
    if between:
        low, first, name, second, high = between.groups()
        if _points_down(first) != _points_down(second):
            return None
        if _points_down(first):
            low, first, second, high = high, second, first, low
        brackets = ("[" if _closed(first) else "(") + ("]" if _closed(second) else ")")
        return Structure("interval", (low, high), labels=(name,), brackets=brackets)
    match = _ONE_SIDED.match(text)
    if match:
        return _ray(match[1], match[3], _points_down(match[2]), _closed(match[2]))
    match = _REVERSED.match(text)
    if match:
        return _ray(match[3], match[1], not _points_down(match[2]), _closed(match[2]))
    return None


def _points_down(relation: str) -> bool:
    """Whether the left side is the greater one."""
    return relation.startswith((">", "\\g"))


def _closed(relation: str) -> bool:
    return relation in ("<=", ">=", "\\le", "\\ge")


def _ray(name: str, endpoint: str, upwards: bool, closed: bool) -> Structure:
    if upwards:
        items, brackets = (endpoint, "\\infty"), "[)" if closed else "()"
    else:
        items, brackets = ("-\\infty", endpoint), "(]" if closed else "()"
    return Structure("interval", items, labels=(name,), brackets=brackets)


Same = Callable[[str, str], bool]
"""Whether two single expressions are equal, the gold's first."""


def same_structure(gold: Structure, answer: Structure, same: Same) -> bool:
    """Whether two forms hold equal items, in order where order means something."""
    if gold.form in ("interval", "union") or answer.form in ("interval", "union"):
        return _same_region(gold, answer, same)
    if len(gold.items) != len(answer.items) or len(gold.items) > MAX_ITEMS:
        return False
    if gold.labels and answer.labels:
        return _same_labelled(gold, answer, same)
    ordered = bool(gold.labels or answer.labels) or "tuple" in (gold.form, answer.form)
    if not _forms_meet(gold.form, answer.form):
        return False
    return _same_ordered(gold, answer, same) if ordered else _same_unordered(gold, answer, same)


def _forms_meet(gold: Form, answer: Form) -> bool:
    """A bare list may stand for anything; a set is no tuple; one item equals a set of one."""
    if gold == answer or "list" in (gold, answer):
        return True
    return {gold, answer} == {"one", "set"}


def _same_labelled(gold: Structure, answer: Structure, same: Same) -> bool:
    said = dict(zip(answer.labels, answer.items, strict=True))
    wanted = zip(gold.labels, gold.items, strict=True)
    return set(said) == set(gold.labels) and all(same(item, said[name]) for name, item in wanted)


def _same_ordered(gold: Structure, answer: Structure, same: Same) -> bool:
    return all(same(g, a) for g, a in zip(gold.items, answer.items, strict=True))


def _same_unordered(gold: Structure, answer: Structure, same: Same) -> bool:
    """Each item of the gold met by an item of its own."""
    left = list(answer.items)
    for wanted in gold.items:
        met = next((i for i, item in enumerate(left) if same(wanted, item)), None)
        if met is None:
            return False
        left.pop(met)
    return True


def _same_region(gold: Structure, answer: Structure, same: Same) -> bool:
    if gold.labels and answer.labels and gold.labels != answer.labels:
        return False
    wanted, said = _intervals(gold, answer), _intervals(answer, gold)
    if len(wanted) != len(said):
        return False
    for interval in wanted:
        met = next((i for i, o in enumerate(said) if _same_interval(interval, o, same)), None)
        if met is None:
            return False
        said.pop(met)
    return True


def _intervals(structure: Structure, other: Structure) -> list[Structure]:
    if structure.form == "union":
        return list(structure.parts)
    if structure.form == "tuple" and len(structure.items) == 2 and other.form == "interval":
        return [Structure("interval", structure.items, brackets=structure.brackets)]
    return [structure]


def _same_interval(gold: Structure, answer: Structure, same: Same) -> bool:
    if gold.form != answer.form or gold.brackets != answer.brackets:
        return False
    if len(gold.items) != len(answer.items):
        return False
    return _same_ordered(gold, answer, same)
