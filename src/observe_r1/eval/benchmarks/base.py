"""What a benchmark is: how its published rows become questions, and how it scores answers itself.

Every benchmark shows two numbers: ours (graded as in training) and its own rule. Where the
published scoring asks a language model to read or compare answers, the number is the benchmark's
own only with a judge; without one it is called "rule extraction, not official".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from observe_r1.data.sources.base import Adapter
from observe_r1.grading import extract_answer
from observe_r1.types import Sample

Row = Mapping[str, Any]

Marks = Mapping[str, float]
"""Question id → share of its answers that are right by the benchmark's own rule."""

Figure = tuple[float | None, Mapping[str, float]]
"""The benchmark's number, None when nothing was answered, and its own breakdown."""


Judging = Literal["none", "extract", "compare", "pick"]
"""What the published scoring asks a language model for; see ``judge``."""


def no_facts(row: Row) -> dict[str, Any]:
    return {}


def as_it_is(row: Row) -> Row:
    return row


def asked_once(sample: Sample) -> list[Sample]:
    return [sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One published benchmark.

    Example:
        Benchmark(name="mathvision", title="MATH-Vision", adapter=mathvision.ADAPTER,
                  hub="MathLLMs/MathVision:default/testmini",
                  columns=("id", "question", "answer"), is_right=is_right, combine=mean_by(family))
    """

    name: str
    title: str
    adapter: Adapter
    """How a row becomes a question, with its status."""
    hub: str
    """Where the files are published: ``owner/name:config/split``."""
    columns: tuple[str, ...]
    """Columns that must be there: their absence means another version of the file."""
    is_right: Callable[[Sample, str], bool]
    """The benchmark's own rule, on the text of a completion."""
    combine: Callable[[Sequence[Sample], Marks], Figure]
    """From marks to the benchmark's figure and its breakdown."""
    judging: Judging = "none"
    """What the published scoring asks a language model for."""
    facts: Callable[[Row], dict[str, Any]] = no_facts
    """What of a row the own rule needs beside question and answer."""
    prepare: Callable[[Row], Row] = as_it_is
    """Changes to a row before the adapter reads it."""
    expand: Callable[[Sample], list[Sample]] = asked_once
    """The ways in which one question is asked."""

    @property
    def needs_judge(self) -> bool:
        return self.judging != "none"


@dataclass(frozen=True, slots=True)
class Official:
    """The benchmark's own number for one evaluation.

    Example:
        Official(figure=0.231, rule="official rule", parts={"algebra": 0.2})
    """

    figure: float | None
    rule: str
    parts: Mapping[str, float] = field(default_factory=dict)


def mean_by(part_of: Callable[[Sample], str | None]) -> Callable[[Sequence[Sample], Marks], Figure]:
    """The plain mean over answered questions, with one line a part."""

    def combine(samples: Sequence[Sample], marks: Marks) -> Figure:
        answered = [sample for sample in samples if sample.id in marks]
        if not answered:
            return None, {}
        parts: dict[str, list[float]] = {}
        for sample in answered:
            if (part := part_of(sample)) is not None:
                parts.setdefault(part, []).append(marks[sample.id])
        means = {part: sum(found) / len(found) for part, found in sorted(parts.items())}
        return sum(marks[sample.id] for sample in answered) / len(answered), means

    return combine


def family_of(sample: Sample) -> str | None:
    return sample.family


def said(text: str) -> str:
    """The answer a completion states: in its tags, in a box, announced, or its last line."""
    answer, _ = extract_answer(text, "plain")
    return answer or ""
