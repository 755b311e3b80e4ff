"""What kind of answer a gold is, and whether it can be checked at all."""

import re
from collections.abc import Sequence

from observe_r1.errors import DataError
from observe_r1.grading.choice import gold_letter
from observe_r1.grading.clean import clean
from observe_r1.grading.expression import read_gold_expression
from observe_r1.grading.quantity import read_quantity
from observe_r1.grading.sequence import read_maze, read_steps
from observe_r1.grading.shapes import read_box, read_span, read_target
from observe_r1.grading.structure import read_structure
from observe_r1.grading.words import accepted_variants, normalise
from observe_r1.types import Kind

KINDS: tuple[Kind, ...] = (
    "number", "expression", "choice", "parts", "text", "point", "box", "interval", "sequence",
)  # fmt: skip

_FORMULA = re.compile(r"\\[a-zA-Z]+|[=^<>≤≥±√π]|[()\[\]{}]|(?<![a-z])[a-z](?![a-z])|[0-9][a-z]")
_SEVERAL_NUMBERS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:\s+-?[0-9]+(?:\.[0-9]+)?)+")
_PROSE = re.compile(r"(?<![a-zA-Z\\])(?!(?:sin|cos|tan|log|exp|sqrt|and|or)\b)[a-zA-Z]{3,}")
_PART_MARK = re.compile(r"\s*(?:^|(?<=[\s,;]))\(?(?:[a-h]|[ivx]{1,4}|[1-9])\)[.:]?\s+")


def infer_kind(gold: str, options: Sequence[str] | None = None) -> Kind:
    """The kind of a gold from its looks and the item's options.

    Example:
        infer_kind("B", ["3", "4"]) == "choice"; infer_kind("3.5 cm") == "number"
    """
    if options and gold_letter(gold, options) is not None:
        return "choice"
    text = clean(gold)
    if not options and re.fullmatch(r"\(?[A-Z]\)?\.?", text):
        return "choice"
    if _SEVERAL_NUMBERS.fullmatch(text) or ";" in text or len(split_parts(gold)) > 1:
        return "parts"
    if read_quantity(text, spaced_thousands=False) is not None:
        return "number"
    if _FORMULA.search(text) and not _PROSE.search(re.sub(r"\\[a-zA-Z]+", " ", text)):
        return "expression"
    return "expression" if _is_list_of_numbers(text) else "text"


def _is_list_of_numbers(text: str) -> bool:
    structure = read_structure(text)
    return structure.form != "one" and all(read_quantity(item) for item in structure.items)


def split_parts(gold: str) -> list[str]:
    """The parts of a gold or an answer: by "(a) … (b) …", semicolons, lines, commas or spaces."""
    marked = [part.strip(" ,;") for part in _PART_MARK.split(gold.strip())]
    marked = [part for part in marked if part]
    if len(marked) > 1 and len(_PART_MARK.findall(gold)) > 1:
        return marked
    text = clean(gold)
    for separator in (";", "\n"):
        if separator in gold:
            return [part.strip() for part in gold.split(separator) if part.strip()]
    if _SEVERAL_NUMBERS.fullmatch(text):
        return text.split()
    return [gold.strip()]


def check_gold(gold: str, kind: str = "auto", options: Sequence[str] | None = None) -> None:
    """Raise DataError when no answer could ever be checked against this gold."""
    problem = gold_problem(gold, kind, options)
    if problem is not None:
        raise DataError(
            f"gold answer {str(gold)[:80]!r} of kind '{kind}' cannot be checked: {problem}. "
            "Fix the answer or its kind, or drop the question."
        )


def gold_problem(gold: object, kind: str, options: Sequence[str] | None) -> str | None:
    """Why a gold cannot be checked, None when it can."""
    if not isinstance(gold, str) or not clean(gold[:4000]):
        return "it is empty or not a text"
    if kind != "auto" and kind not in KINDS:
        return f"there is no such kind (known: auto, {', '.join(KINDS)})"
    if kind == "auto":
        kind = infer_kind(gold, options)
    return _KIND_PROBLEMS[kind](gold, options)


def _number(gold: str, _: Sequence[str] | None) -> str | None:
    return None if read_quantity(gold) is not None else "it is not a number"


def _expression(gold: str, _: Sequence[str] | None) -> str | None:
    return None if read_gold_expression(gold) else "it cannot be read as an expression"


def _choice(gold: str, options: Sequence[str] | None) -> str | None:
    if gold_letter(gold, options) is not None:
        return None
    if options:
        return f"it is neither a letter of its {len(options)} options nor the text of one"
    return "it is not a letter, and the question has no options"


def _parts(gold: str, _: Sequence[str] | None) -> str | None:
    parts = part_golds(gold)
    if len(parts) < 2:
        return "it has only one part"
    problems = (gold_problem(part, "auto", None) for part in parts)
    return next((f"a part: {problem}" for problem in problems if problem), None)


def part_golds(text: str) -> list[str]:
    """Parts, with commas as the last resort: only a text said to have parts is cut at commas."""
    parts = split_parts(text)
    if len(parts) > 1:
        return parts
    structure = read_structure(clean(text))
    return list(structure.items) if structure.form in ("list", "set", "tuple") else parts


def _text(gold: str, _: Sequence[str] | None) -> str | None:
    if any(normalise(variant) for variant in accepted_variants(gold)):
        return None
    return "nothing is left of it once punctuation is gone"


def _point(gold: str, _: Sequence[str] | None) -> str | None:
    return None if read_target(gold) else 'it is not "x, y", "x, y ± r" or "x1, y1, x2, y2"'


def _box(gold: str, _: Sequence[str] | None) -> str | None:
    return None if read_box(gold) else "it is not one box x1, y1, x2, y2 with x1 < x2 and y1 < y2"


def _interval(gold: str, _: Sequence[str] | None) -> str | None:
    return None if read_span(gold) else "it is not a time interval with a start before its end"


def _sequence(gold: str, _: Sequence[str] | None) -> str | None:
    if gold.lstrip().startswith("{"):
        return None if read_maze(gold) else "it is not a maze with one S, one G and a path"
    return None if read_steps(gold) else "it has no steps"


_KIND_PROBLEMS = {
    "number": _number,
    "expression": _expression,
    "choice": _choice,
    "parts": _parts,
    "text": _text,
    "point": _point,
    "box": _box,
    "interval": _interval,
    "sequence": _sequence,
}
