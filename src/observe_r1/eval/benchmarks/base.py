"""What a benchmark is: how its published rows become questions, and how it scores answers itself.

Every benchmark shows two numbers: ours (graded as in training) and its own rule. Rules that ask a
language model to read the answer are run with a judge; without one the number is called
"rule extraction" and never "official".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from observe_r1.errors import DataError
from observe_r1.grading import check_gold, extract_answer, infer_kind
from observe_r1.types import Sample

Row = Mapping[str, Any]
Readable = Literal["checked on real files", "from documentation"]
FindImage = Callable[[Any], bytes]
"""From what a row holds in an image column to the encoded picture; raises DataError."""


@dataclass(frozen=True, slots=True)
class Official:
    """The benchmark's own number.

    Example:
        Official(figure=0.231, rule="official rule", parts={"algebra": 0.2})
    """

    figure: float | None
    """None when no question has an answer."""
    rule: str
    """``official rule``, ``rule extraction, not official`` or ``official rule with judge …``."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """The benchmark's own breakdown."""
    note: str = ""


Marks = Mapping[str, float]
"""Question id → share of its answers that are right by the benchmark's own rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One published benchmark.

    Example:
        Benchmark(name="mmstar", title="MMStar", hub="Lin-Chen/MMStar", split="val", files="*val*",
                  status="from documentation", needs_judge=False, columns=("index", "question"),
                  read_row=read_row, is_right=is_right, combine=mean_of)
    """

    name: str
    title: str
    hub: str
    """Dataset on the hub."""
    split: str
    files: str
    """Which of its files hold the split, as a pattern."""
    status: Readable
    needs_judge: bool
    """Whether the published scoring asks a language model to read or compare answers."""
    columns: tuple[str, ...]
    """Columns that must be there: their absence means another version of the file."""
    read_row: Callable[[Row, FindImage], list[Sample]]
    """The questions of one row (several where a question is asked in several ways)."""
    is_right: Callable[[Sample, str], bool]
    """The benchmark's own rule, on the text of a completion."""
    combine: Callable[[Sequence[Sample], Marks], tuple[float | None, Mapping[str, float]]]
    """From marks to the benchmark's figure and its breakdown."""
    source_row: str = ""
    """What a row looks like, for messages and documentation."""


def mean_by(
    part_of: Callable[[Sample], str | None],
) -> Callable[[Sequence[Sample], Marks], tuple[float | None, dict[str, float]]]:
    """The plain mean over questions, with one line a part."""

    def combine(
        samples: Sequence[Sample], marks: Marks
    ) -> tuple[float | None, dict[str, float]]:
        answered = [s for s in samples if s.id in marks]
        if not answered:
            return None, {}
        parts: dict[str, list[float]] = {}
        for sample in answered:
            if (part := part_of(sample)) is not None:
                parts.setdefault(part, []).append(marks[sample.id])
        means = {part: sum(m) / len(m) for part, m in sorted(parts.items())}
        return sum(marks[s.id] for s in answered) / len(answered), means

    return combine


def make_sample(
    *,
    identity: str,
    question: str,
    answer: Any,
    images: Sequence[bytes],
    options: Sequence[str] = (),
    source: str,
    family: str | None,
    metadata: Mapping[str, Any],
) -> Sample:
    """A question of a benchmark; a gold that cannot be checked raises DataError."""
    gold = str(answer).strip()
    kind = "choice" if options else infer_kind(gold)
    check_gold(gold, kind, tuple(options))
    return Sample(
        id=identity,
        question=question,
        answer=gold,
        kind=kind,
        images=tuple(images),
        options=tuple(options),
        source=source,
        family=family,
        metadata=dict(metadata),
    )


def said(text: str) -> str:
    """The answer a completion states: in its tags, in a box, announced, or its last line."""
    answer, _ = extract_answer(text, "plain")
    return answer or ""


def require(row: Row, column: str) -> Any:
    """A value that must be there."""
    value = row.get(column)
    if value is None or value == "":
        raise DataError(f"column '{column}' is empty")
    return value
