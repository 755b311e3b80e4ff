"""What the observe section says against what is in the picture.

Puzzles know the facts of their pictures. The observe section is cut at semicolons and lines; a
stated fact counts when it equals a true one, each true one at most once.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observe_r1.text import parse_response
from observe_r1.types import Sample

GRAMMAR = "observe_think_answer"


@dataclass(frozen=True, slots=True)
class ObservationQuality:
    """Shares over all answers that have an observe section.

    Example:
        ObservationQuality(precision=0.92, recall=0.61, num_answers=1600)
    """

    precision: float
    """Of the stated facts, how many are true."""
    recall: float
    """Of the true facts, how many are stated."""
    num_answers: int


def observation_quality(
    samples: Sequence[Sample], rows: Iterable[Mapping[str, Any]]
) -> ObservationQuality | None:
    """Precision and recall of stated facts; None when no answer states any."""
    puzzles = [s for s in samples if s.source == "puzzles"]
    facts_of = {s.id: s.metadata["facts"] for s in puzzles if "facts" in s.metadata}
    stated = true = right = answers = 0
    for row in rows:
        section = parse_response(row["text"], GRAMMAR).first("observe")
        if section is None or row["sample_id"] not in facts_of:
            continue
        said, facts = split_facts(section), Counter(map(normal, facts_of[row["sample_id"]]))
        answers += 1
        stated += sum(said.values())
        true += sum(facts.values())
        right += sum((said & facts).values())
    if not answers or not stated or not true:
        return None
    return ObservationQuality(right / stated, right / true, answers)


def split_facts(section: str) -> Counter[str]:
    """The facts an observe section states.

    Example:
        split_facts("1: red - ; 2: - blue") == Counter({"1: red -": 1, "2: - blue": 1})
    """
    return Counter(fact for part in re.split(r"[;\n]", section) if (fact := normal(part)))


def normal(fact: str) -> str:
    return " ".join(fact.split()).rstrip(".").lower()
