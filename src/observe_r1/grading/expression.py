"""Mathematical answers: sets, intervals, tuples, equations and expressions, the gold first."""

import re
from functools import lru_cache

from observe_r1.grading.clean import MAX_ANSWER_CHARS, clean, squeeze
from observe_r1.grading.math_checker import can_read, same_expression
from observe_r1.grading.quantity import (
    BARE_PI,
    read_quantities,
    read_quantity,
    same_quantity,
    strip_lead,
)
from observe_r1.grading.structure import read_structure, same_structure

MAX_EXPRESSION_CHARS = 300
MAX_NESTING = 16
MAX_DIGIT_RUN = 30
MAX_POWERS = 12

_FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|exp|max|min|gcd|lcm"
)
_BARE_FUNCTION = re.compile(rf"(?<![a-zA-Z\\])({_FUNCTIONS})(?![a-zA-Z])")
_BARE_ROOT = re.compile(r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)")
_LONG_POWER = re.compile(r"\^\s*(-?[0-9]{2,}|-[0-9a-zA-Z])")
_POWER_GROUP = re.compile(r"\^\s*\(([^()]*)\)")
_WORD = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{3,}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_ANGLE = re.compile(r"\{?([0-9]+(?:\.[0-9]+)?)\s*deg(?:\s*\})?(?![a-z])")
_INFINITY = re.compile(r"^([-+]?)\s*(?:\\infty|oo|inf|infinity)$", re.I)


def to_latex(text: str) -> str:
    """Plain spellings as LaTeX: "sqrt(2)*x^12" → "\\sqrt{2} \\cdot x^{12}"."""
    text = _BARE_ROOT.sub(r"\\sqrt{\1}", text)
    text = _BARE_FUNCTION.sub(r"\\\1", text)
    text = BARE_PI.sub(r"\\pi ", text)
    text = _POWER_GROUP.sub(r"^{\1}", text)
    text = _LONG_POWER.sub(r"^{\1}", text)
    if _TRIGONOMETRIC.search(text):
        text = _ANGLE.sub(r"\\frac{\1\\pi}{180}", text)
    text = text.replace(" deg ", "^{\\circ}").removesuffix(" deg")
    return text.replace("*", "\\cdot ").replace("≈", "=").strip()


def is_readable(text: str) -> bool:
    """Whether a text is small and plain enough to be handed to the math checker."""
    if not text or len(text) > MAX_EXPRESSION_CHARS or not text.isascii() or not text.isprintable():
        return False
    if text.count("^") > MAX_POWERS or re.search(rf"[0-9]{{{MAX_DIGIT_RUN},}}", text):
        return False
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    return depth == 0 and deepest <= MAX_NESTING


_NAMED_FUNCTION = re.compile(
    rf"\\(?:{_FUNCTIONS}|binom)(?![a-zA-Z])|(?<![a-zA-Z])(?:{_FUNCTIONS})\s*\("
)


def holds_function(text: str) -> bool:
    """Whether a number may be written with a function our own reader does not know."""
    return len(text) <= MAX_EXPRESSION_CHARS and _NAMED_FUNCTION.search(text) is not None


def read_gold_expression(gold: str) -> bool:
    """Whether a gold can be checked as a mathematical answer."""
    structure = read_structure(clean(gold))
    if structure.form == "union":
        return all(_reads_all(part.items) for part in structure.parts)
    return _reads_all(structure.items)


def _reads_all(items: tuple[str, ...]) -> bool:
    return bool(items) and all(_reads_one(item) for item in items)


def _reads_one(text: str) -> bool:
    if _INFINITY.match(text.strip()) or read_quantity(text) is not None:
        return True
    latex = to_latex(clean(text))
    return is_readable(latex) and not _has_words(latex) and can_read(latex)


def _has_words(latex: str) -> bool:
    return _WORD.search(_COMMAND.sub(" ", latex)) is not None


def grade_expression(answer: str, gold: str) -> tuple[bool | None, str]:
    """Whether an answer equals a mathematical gold (None: it cannot be read), and why."""
    if len(answer) > MAX_ANSWER_CHARS:
        return None, "the answer is too long to be an expression"
    if squeeze(answer) == squeeze(gold) and squeeze(gold):
        return True, "written the same"
    said, wanted = strip_lead(clean(answer)), clean(gold)
    trouble: list[str] = []

    def same(left: str, right: str) -> bool:
        return _same_single(left, right, trouble)

    if same_structure(read_structure(wanted), read_structure(said), same):
        return True, "equal"
    return (None, trouble[0]) if trouble else (False, "not equal")


def _same_single(gold: str, answer: str, trouble: list[str]) -> bool:
    """Two single expressions: as written, as numbers, then by the math checker."""
    if squeeze(gold) == squeeze(answer) and squeeze(gold):
        return True
    infinite = [_INFINITY.match(text.strip()) for text in (gold, answer)]
    if any(infinite):
        return all(infinite) and len({match[1] for match in infinite if match}) == 1
    number = read_quantity(gold)
    if number is not None:
        sides = read_quantities(answer)
        if sides:
            return any(same_quantity(number, side) for side in sides)
        if not holds_function(answer):
            return False
    return _check(gold, answer, trouble)


@lru_cache(maxsize=8192)
def _prepared(text: str) -> str | None:
    """LaTeX for the checker, the last formula of a sentence; None when it cannot be one."""
    latex = to_latex(clean(text))
    if _has_words(latex) and ("=" in latex or ":" in latex):
        latex = re.split(r"[=:]", latex)[-1].strip()
    return latex if is_readable(latex) and not _has_words(latex) else None


def _check(gold: str, answer: str, trouble: list[str]) -> bool:
    wanted, said = _prepared(gold), _prepared(answer)
    if wanted is None or said is None:
        trouble.append("the answer cannot be read as an expression")
        return False
    verdict = same_expression(wanted, said)
    if verdict.problem == "time":
        trouble.append("comparing took too long")
    elif verdict.problem:
        trouble.append("the answer cannot be read as an expression")
    return verdict.equal
