"""A look into the completions themselves: repetition and answers, early and late in training.

Reading every text of a large run takes minutes, so a fixed number of groups is read, spread evenly
over the first and the last part of the run.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from observe_r1.report import rows
from observe_r1.report.groups import read_rows
from observe_r1.report.index import Index
from observe_r1.text import last_section

GROUPS_READ = 150
"""From each part."""
MAX_CHARACTERS = 20_000
NGRAM = 6
"""Words; honest reasoning seldom repeats six words in a row more than a few times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the completions of one part of the run look like."""

    num_texts: int
    repeated: float
    """Mean share of word runs that occur more than once in their completion."""
    common_answer: str
    common_share: float
    """Share of all completions that give the most common answer."""
    common_golds: float
    """Share of the questions, among those read, whose gold answer it is."""
    num_questions: int
    empty: float
    """Share of completions without any text."""


def read_parts(path: Path, index: Index, golds: dict[str, str]) -> tuple[Part, Part] | None:
    """The first and the last fifth of the run; None where there is too little of it."""
    if index.num_groups < 20:
        return None
    steps = index.groups["step"]
    order = np.argsort(steps, kind="stable")
    width = max(len(order) // 5, 10)
    first, last = order[:width], order[-width:]
    return _read(path, index, first, golds), _read(path, index, last, golds)


def _read(path: Path, index: Index, places: np.ndarray, golds: dict[str, str]) -> Part:
    spread = np.unique(np.linspace(0, len(places) - 1, min(GROUPS_READ, len(places))).astype(int))
    texts, samples = [], []
    for place in places[spread]:
        for row in read_rows(path, index, int(place)):
            texts.append(rows.text(row.get("text"))[:MAX_CHARACTERS])
            samples.append(rows.text(row.get("sample_id")))
    answers = Counter(answer for text in texts if (answer := last_section(text, "answer")))
    common, count = answers.most_common(1)[0] if answers else ("", 0)
    questions = set(samples)
    return Part(
        num_texts=len(texts),
        repeated=sum(map(repeated_share, texts)) / max(len(texts), 1),
        common_answer=common,
        common_share=count / max(len(texts), 1),
        common_golds=sum(golds.get(q) == common for q in questions) / max(len(questions), 1),
        num_questions=len(questions),
        empty=sum(not text.strip() for text in texts) / max(len(texts), 1),
    )


def repeated_share(text: str) -> float:
    """Share of the runs of ``NGRAM`` words that stand in the text more than once.

    Example:
        repeated_share("let me check this again now " * 10) == 1.0
    """
    words = text.split()
    runs = Counter(tuple(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1))
    total = sum(runs.values())
    return sum(count for count in runs.values() if count > 1) / total if total >= 4 else 0.0
