"""Is this completion right? One function, one rule a kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from observe_r1.errors import DataError
from observe_r1.grading.choice import gold_letter, letters_for, read_choice
from observe_r1.grading.clean import clean
from observe_r1.grading.expression import grade_expression, holds_function
from observe_r1.grading.extract import Extract, extract_answer, last_box, last_formula
from observe_r1.grading.kinds import check_gold, infer_kind, part_golds
from observe_r1.grading.quantity import last_number, read_quantities, read_quantity, same_quantity
from observe_r1.grading.sequence import read_maze, read_steps, solves_maze
from observe_r1.grading.shapes import (
    MIN_OVERLAP,
    box_overlap,
    hits,
    read_box,
    read_point,
    read_span,
    read_target,
    span_overlap,
)
from observe_r1.grading.words import same_words
from observe_r1.types import Kind


@dataclass(frozen=True, slots=True)
class Grade:
    """Whether a completion is right, what it answered, and why.

    Example:
        grade("<answer>3 cm</answer>", "3") → Grade(True, answer="3 cm", reason="equal numbers")
    """

    correct: bool
    answer: str | None
    """The extracted text; None where there is no answer."""
    reason: str
    readable: bool = True
    """False where no answer of the gold's kind could be read: nothing was compared."""


def grade(
    completion: str,
    gold: str,
    *,
    kind: Kind | Literal["auto"] = "auto",
    options: Sequence[str] | None = None,
    extract: Extract = "tagged",
) -> Grade:
    """Grade a completion against a gold answer.

    ``extract`` says where the answer stands: "tagged" (the last answer section and nothing else),
    "boxed" (the last box) or "plain" (untagged text). Whatever the completion holds, the result is
    a Grade; a gold that cannot be checked raises DataError.
    """
    gold = str(gold) if isinstance(gold, (int, float)) and not isinstance(gold, bool) else gold
    if not isinstance(gold, str):
        check_gold(gold, kind, options)
    resolved = _resolve(gold, kind, tuple(options or ()))
    answer, where = extract_answer(completion, extract)
    if answer is None:
        return Grade(False, None, where, readable=False)
    judged = _unbox(answer)
    correct, reason = _RULES[resolved](judged, gold, options, extract == "plain")
    return Grade(bool(correct), answer, reason, readable=correct is not None)


@lru_cache(maxsize=16384)
def _resolve(gold: str, kind: str, options: tuple[str, ...]) -> Kind:
    """The kind, once the gold is known to be checkable."""
    check_gold(gold, kind, options)
    return infer_kind(gold, options) if kind == "auto" else kind  # type: ignore[return-value]


def _unbox(answer: str) -> str:
    """An answer that holds one box is what the box holds."""
    for _ in range(3):
        if "\\boxed" not in answer or answer.count("\\boxed") > 1:
            break
        answer = last_box(answer) or answer
    return answer


_CLOCK = re.compile(r"[0-9]{1,2}:[0-5][0-9]")
"""Read as a time of day: 4:10 is not 12:30, though the quotients are equal."""

Judged = tuple[bool | None, str]
"""Right or wrong, None where the answer cannot be read; and why."""


def _number(
    answer: str, gold: str, _: Sequence[str] | None = None, untagged: bool = False
) -> Judged:
    wanted = read_quantity(gold)
    if wanted is None:
        raise DataError(f"gold answer {gold[:80]!r} is not a number.")
    if _CLOCK.fullmatch(gold.strip()) and _CLOCK.fullmatch(clean(answer)):
        correct = clean(answer).lstrip("0") == gold.strip().lstrip("0")
        return correct, "the same time" if correct else "another time"
    sides = read_quantities(answer)
    if any(same_quantity(wanted, side) for side in sides):
        return True, "equal numbers"
    if sides:
        return False, "another number"
    if holds_function(answer):
        return grade_expression(answer, gold)
    said = last_number(answer) if untagged else None
    if said is not None:
        correct = same_quantity(wanted, said)
        return correct, "equal to the last number" if correct else "another last number"
    return None, "the answer does not state one number"


def _expression(
    answer: str, gold: str, _: Sequence[str] | None = None, untagged: bool = False
) -> Judged:
    correct, reason = grade_expression(answer, gold)
    if correct or not untagged:
        return correct, reason
    formula = last_formula(answer)
    return grade_expression(formula, gold) if formula else (correct, reason)


def _choice(answer: str, gold: str, options: Sequence[str] | None, *_: object) -> Judged:
    wanted = gold_letter(gold, options)
    if wanted is None:
        raise DataError(f"gold answer {gold[:80]!r} is no option.")
    picked, how = read_choice(answer, options, letters_for(options, wanted))
    if picked is None:
        return None, how
    return picked == wanted, f"picks {picked}: {how}"


def _parts(answer: str, gold: str, *_: object) -> Judged:
    wanted, said = part_golds(gold), part_golds(answer)
    if len(wanted) != len(said):
        return False, f"{len(said)} parts where {len(wanted)} are asked for"
    for number, (part, text) in enumerate(zip(wanted, said, strict=True), start=1):
        correct, reason = _RULES[infer_kind(part)](text, part, None, False)
        if not correct:
            return False, f"part {number}: {reason}"
    return True, "every part is right"


def _text(answer: str, gold: str, *_: object) -> Judged:
    correct = same_words(answer, gold)
    return correct, "the same words" if correct else "other words"


def _point(answer: str, gold: str, *_: object) -> Judged:
    target = read_target(gold)
    point = read_point(re.sub(r"(?:±|\\pm)\s*[0-9.]+\s*$", "", answer))
    if target is None or point is None:
        return None, "the answer is not one point"
    correct = hits(target, point)
    return correct, "the point hits" if correct else "the point misses"


def _box(answer: str, gold: str, *_: object) -> Judged:
    wanted, said = read_box(gold), read_box(answer)
    if wanted is None or said is None:
        return None, "the answer is not one box"
    overlap = box_overlap(wanted, said)
    return overlap >= MIN_OVERLAP, f"overlap {overlap:.2f}"


def _interval(answer: str, gold: str, *_: object) -> Judged:
    wanted, said = read_span(gold), read_span(answer)
    if wanted is None or said is None:
        return None, "the answer is not one interval"
    overlap = span_overlap(wanted, said)
    return overlap >= MIN_OVERLAP, f"overlap {overlap:.2f}"


def _sequence(answer: str, gold: str, *_: object) -> Judged:
    steps = read_steps(answer)
    if steps is None:
        return None, "the answer has no steps"
    maze = read_maze(gold)
    if maze is not None:
        wrong = solves_maze(maze, steps)
        return wrong is None, wrong or "the path keeps every rule"
    correct = steps == read_steps(gold)
    return correct, "the same steps" if correct else "other steps"


_RULES = {
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
