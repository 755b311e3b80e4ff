"""How often guessing pays: the chance level of a family, found by counting.

The best blind solver knows the form of the question ("How many _ _ are there?") and always gives
the answer that is right most often for that form.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from observe_r1.data.puzzles.base import Family, make_item
from observe_r1.grading import grade

_DETAILS = re.compile(
    r"\b(?:red|blue|green|yellow|purple|orange|[0-9]+|[A-Z]"
    r"|circles?|squares?|triangles?|cross(?:es)?|diamonds?|stars?)\b"
)
_GRADED_BY_OVERLAP = ("point", "box", "interval")
_CANDIDATES = 60


@dataclass(frozen=True, slots=True)
class _Answered:
    gold: str
    written: str
    kind: str


def count_chance(family: Family, level: int, num_items: int = 2000, seed: int = 0) -> float:
    """Share of ``num_items`` that the best constant answer to each form of question gets right.

    With few items and many possible answers this is too high: some answer is common by luck.
    """
    by_form: dict[str, list[_Answered]] = defaultdict(list)
    for index in range(num_items):
        item = make_item(family, seed, index, level)
        form = _DETAILS.sub("_", item.ask.question)
        by_form[form].append(_Answered(item.ask.answer, item.trace().answer, item.ask.kind))
    return sum(_best_guess(answered) for answered in by_form.values()) / num_items


def _best_guess(answered: Sequence[_Answered]) -> int:
    """How many of these the best single answer gets right."""
    common = Counter(item.written for item in answered).most_common(_CANDIDATES)
    if answered[0].kind not in _GRADED_BY_OVERLAP:
        return common[0][1]
    return max(sum(_is_right(guess, item) for item in answered) for guess, _ in common)


def _is_right(guess: str, item: _Answered) -> bool:
    return grade(f"<answer>{guess}</answer>", item.gold, kind=item.kind).correct  # type: ignore[arg-type]
