"""From marked answers to numbers: accuracy with interval, pass@k, per level, lengths, format.

Reads rows of ``predictions.jsonl`` and the questions they answer; needs no model.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from observe_r1.eval.intervals import Share, share_of
from observe_r1.eval.pass_at_k import majority_is_right, pass_at_k, powers_of_two
from observe_r1.types import Sample

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The result of one evaluation, as written to ``scores.json``.

    Accuracies are shares of answers. ``accuracy`` reads answers strictly (as in training),
    ``accuracy_lenient`` also finds them outside the tags.
    """

    name: str
    model: str
    greedy: bool
    num_questions: int
    num_missing: int
    """Questions that were asked and have no answers: they are in no average."""
    samples_per_question: int
    accuracy: Share
    accuracy_lenient: Share
    accuracy_well_formed: Share
    """Accuracy among well-formed answers."""
    format_valid: Share
    truncated: Share
    pass_at_k: Mapping[str, float]
    majority_at_k: float | None
    """Share of questions whose most frequent answer is right; None with one answer a question."""
    mean_tokens: float | None
    mean_tokens_correct: float | None
    mean_tokens_wrong: float | None
    per_level: Mapping[str, Share] = field(default_factory=dict)
    """By level of difficulty, as probed."""
    per_puzzle_level: Mapping[str, Share] = field(default_factory=dict)
    """By the level at which a puzzle was made."""
    per_rung: Mapping[str, Share] = field(default_factory=dict)
    per_family: Mapping[str, Share] = field(default_factory=dict)
    per_kind: Mapping[str, Share] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compute_scores(
    samples: Sequence[Sample],
    rows: Iterable[Row],
    *,
    name: str,
    model: str,
    greedy: bool,
    samples_per_question: int,
) -> Scores:
    """All numbers of one evaluation."""
    answers_of = _by_question(rows)
    questions = [s for s in samples if s.id in answers_of]
    all_rows = [row for s in questions for row in answers_of[s.id]]
    return Scores(
        name=name,
        model=model,
        greedy=greedy,
        num_questions=len(questions),
        num_missing=len(samples) - len(questions),
        samples_per_question=samples_per_question,
        accuracy=_share(questions, answers_of, "correct"),
        accuracy_lenient=_share(questions, answers_of, "correct_lenient"),
        accuracy_well_formed=_share(questions, answers_of, "correct", _is_well_formed),
        format_valid=_share(questions, answers_of, "well_formed"),
        truncated=_share(questions, answers_of, "truncated"),
        pass_at_k=_pass_at_k(questions, answers_of),
        majority_at_k=_majority(questions, answers_of, samples_per_question),
        mean_tokens=_mean_tokens(all_rows),
        mean_tokens_correct=_mean_tokens(row for row in all_rows if row["correct"]),
        mean_tokens_wrong=_mean_tokens(row for row in all_rows if not row["correct"]),
        per_level=_split(questions, answers_of, lambda s: s.level),
        per_puzzle_level=_split(questions, answers_of, _puzzle_level),
        per_rung=_split(questions, answers_of, lambda s: s.rung),
        per_family=_split(questions, answers_of, lambda s: s.family),
        per_kind=_split(questions, answers_of, lambda s: s.kind),
    )


def _by_question(rows: Iterable[Row]) -> dict[str, list[Row]]:
    answers_of: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        answers_of[row["sample_id"]].append(row)
    return answers_of


def _puzzle_level(sample: Sample) -> int | None:
    return sample.metadata.get("puzzle_level") if sample.source == "puzzles" else None


def _is_well_formed(row: Row) -> bool:
    return bool(row["well_formed"])


def _share(
    questions: Iterable[Sample],
    answers_of: Mapping[str, Sequence[Row]],
    column: str,
    keep: Callable[[Row], bool] = lambda row: True,
) -> Share:
    counts = []
    for sample in questions:
        kept = [row for row in answers_of[sample.id] if keep(row)]
        counts.append((sum(bool(row[column]) for row in kept), len(kept)))
    return share_of(counts)


def _split(
    questions: Sequence[Sample],
    answers_of: Mapping[str, Sequence[Row]],
    part_of: Callable[[Sample], Any],
) -> dict[str, Share]:
    """Accuracy per part; questions that say nothing of the part are left out."""
    parts = sorted({part for s in questions if (part := part_of(s)) is not None})
    return {
        str(part): _share([s for s in questions if part_of(s) == part], answers_of, "correct")
        for part in parts
    }


def _pass_at_k(
    questions: Sequence[Sample], answers_of: Mapping[str, Sequence[Row]]
) -> dict[str, float]:
    if not questions:
        return {}
    counts = [
        (sum(bool(row["correct"]) for row in answers_of[s.id]), len(answers_of[s.id]))
        for s in questions
    ]
    fewest = min(total for _, total in counts)
    return {
        str(k): fmean(pass_at_k(right, total, k) for right, total in counts)
        for k in powers_of_two(fewest)
    }


def _majority(
    questions: Sequence[Sample], answers_of: Mapping[str, Sequence[Row]], samples: int
) -> float | None:
    if samples < 2 or not questions:
        return None
    return fmean(
        majority_is_right(
            [row["answer"] for row in answers_of[s.id]],
            [bool(row["correct"]) for row in answers_of[s.id]],
        )
        for s in questions
    )


def _mean_tokens(rows: Iterable[Row]) -> float | None:
    counts = [row["num_tokens"] for row in rows]
    return fmean(counts) if counts else None
