"""Which traces are kept. Every filter that leaves traces out is counted.

    gold         graded right (or, turned round, wrong)
    well_formed  follows its own grammar and was not cut off
    length       tokens within limits
    perplexity   how surprising the trace is to the model that measured it, within limits
    repetition   n-grams that come again
    consistent   the reasoning ends in the answer that is given
    pattern      a regular expression that must, or must not, be found
    duplicates   the same response to the same question, once
    best         the first few by one measure, of each question or of all

To add one: a subclass of ``Filter`` here and its name in ``AnyFilter``.
"""

import math
import re
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from observe_r1.config_base import Config
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.text import last_section, parse_response


class Filter(Config):
    """A rule that keeps some traces of a set."""

    @property
    def needs(self) -> str | None:
        """What must have been measured on a trace: ``num_tokens`` or ``perplexity``."""
        return None

    @abstractmethod
    def kept(self, traces: TraceSet) -> list[bool]:
        """For each trace whether it stays."""
        raise NotImplementedError


class RowFilter(Filter):
    """A rule that looks at one trace: it can be asked while traces are still being drawn."""

    def kept(self, traces: TraceSet) -> list[bool]:
        return [self.keeps(row) for row in traces.rows]

    @abstractmethod
    def keeps(self, row: TraceRow) -> bool:
        """Whether this trace stays."""
        raise NotImplementedError


class Gold(RowFilter):
    """Graded against the gold answer."""

    type: Literal["gold"] = "gold"

    correct: bool = True
    """Whether right traces are kept, or wrong ones."""

    def keeps(self, row: TraceRow) -> bool:
        if row.correct is None:
            raise DataError(_unknown(row, "graded", "gold"))
        return row.correct is self.correct


class WellFormed(RowFilter):
    """Follows the grammar it is said to be written in."""

    type: Literal["well_formed"] = "well_formed"

    def keeps(self, row: TraceRow) -> bool:
        return not row.truncated and parse_response(row.response, row.grammar).well_formed


class Length(RowFilter):
    """Tokens within limits, both of which count as within."""

    type: Literal["length"] = "length"

    least: int = Field(default=0, ge=0)
    """Fewest tokens."""

    most: int | None = Field(default=None, ge=1)
    """Most tokens; None: any number."""

    @property
    def needs(self) -> str:
        return "num_tokens"

    def keeps(self, row: TraceRow) -> bool:
        if row.num_tokens is None:
            raise DataError(_unknown(row, "counted", "length"))
        return self.least <= row.num_tokens <= (math.inf if self.most is None else self.most)


class Perplexity(RowFilter):
    """Perplexity within limits, both of which count as within."""

    type: Literal["perplexity"] = "perplexity"

    least: float = Field(default=0.0, ge=0.0)
    """Lowest perplexity: what a model expects already teaches it little."""

    most: float | None = Field(default=None, gt=0.0)
    """Highest perplexity; None: any."""

    @property
    def needs(self) -> str:
        return "perplexity"

    def keeps(self, row: TraceRow) -> bool:
        if row.perplexity is None:
            raise DataError(_unknown(row, "measured", "perplexity"))
        return self.least <= row.perplexity <= (math.inf if self.most is None else self.most)


class Repeated(RowFilter):
    """Not too many n-grams of words that occur again."""

    type: Literal["repetition"] = "repetition"

    words: int = Field(default=4, ge=1)
    """n: words an n-gram."""

    most: float = Field(default=0.2, ge=0.0, le=1.0)
    """Largest share of n-grams that occurred before in the same trace."""

    def keeps(self, row: TraceRow) -> bool:
        return repeated_share(row.response, self.words) <= self.most


class Consistent(RowFilter):
    """The reasoning ends in the answer that is given: its last sentence names it."""

    type: Literal["consistent"] = "consistent"

    section: str = "think"
    """The section that reasons."""

    def keeps(self, row: TraceRow) -> bool:
        thought = last_section(row.response, self.section)
        answer = last_section(row.response, "answer")
        if thought is None or answer is None:
            return False
        last = re.split(r"(?<=[.;!?])\s+|\n", thought.rstrip(" .;!?\n"))[-1]
        return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", last, re.IGNORECASE) is not None


class Pattern(RowFilter):
    """A regular expression: gibberish, another language, a phrase that must be there."""

    type: Literal["pattern"] = "pattern"

    pattern: str
    """Searched for in the response."""

    present: bool = False
    """Whether traces with it are kept, or those without."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}.") from None
        return pattern

    def keeps(self, row: TraceRow) -> bool:
        return (re.search(self.pattern, row.response) is not None) is self.present


class Duplicates(Filter):
    """The same response to the same question counts once."""

    type: Literal["duplicates"] = "duplicates"

    def kept(self, traces: TraceSet) -> list[bool]:
        seen: Counter[tuple[str, str]] = Counter()
        stays = []
        for row in traces.rows:
            key = (row.sample_id, " ".join(row.response.split()))
            stays.append(not seen[key])
            seen[key] += 1
        return stays


class Best(Filter):
    """The first few by one measure; ties go to the trace that came first."""

    type: Literal["best"] = "best"

    by: Literal["num_tokens", "perplexity", "order"] = "num_tokens"
    """What traces are ranked by; ``order``: as they were drawn."""

    highest: bool = False
    """Whether the highest come first, or the lowest."""

    per_question: int | None = Field(default=1, ge=1)
    """How many of each question; None: the ranking is over all traces."""

    count: int | None = Field(default=None, ge=1)
    """How many in all, after that; None: no limit."""

    @property
    def needs(self) -> str | None:
        return None if self.by == "order" else self.by

    def kept(self, traces: TraceSet) -> list[bool]:
        ranked = sorted(range(len(traces)), key=lambda i: self._rank(traces.rows[i], i))
        if self.per_question is not None:
            by_question: dict[str, list[int]] = defaultdict(list)
            for i in ranked:
                by_question[traces.rows[i].sample_id].append(i)
            first = {i for found in by_question.values() for i in found[: self.per_question]}
            ranked = [i for i in ranked if i in first]
        chosen = set(ranked[: self.count])
        return [i in chosen for i in range(len(traces))]

    def _rank(self, row: TraceRow, place: int) -> float:
        if self.by == "order":
            return -place if self.highest else place
        value = getattr(row, self.by)
        if value is None:
            raise DataError(_unknown(row, "measured", f"best by {self.by}"))
        return -value if self.highest else value


AnyFilter = Annotated[
    Gold | WellFormed | Length | Perplexity | Repeated | Consistent | Pattern | Duplicates | Best,
    Field(discriminator="type"),
]


@dataclass(frozen=True, slots=True)
class Filtered:
    """What was kept, and how many each filter left out.

    Example:
        Filtered(kept=traces, left_out={"gold": 120, "length": 4})
    """

    kept: TraceSet
    left_out: dict[str, int]

    def __str__(self) -> str:
        parts = [f"{name} left out {count}" for name, count in self.left_out.items()]
        return ", ".join([*parts, f"{len(self.kept)} kept"])


def apply_filters(traces: TraceSet, filters: Sequence[Filter]) -> Filtered:
    """One filter after the other, each on what the last one kept."""
    left_out: dict[str, int] = {}
    for rule in filters:
        stays = rule.kept(traces)
        name = type(rule).model_fields["type"].default
        left_out[name] = left_out.get(name, 0) + stays.count(False)
        rows = [row for row, stay in zip(traces.rows, stays, strict=True) if stay]
        traces = traces.with_rows(rows)
    return Filtered(traces, left_out)


def repeated_share(text: str, words: int) -> float:
    """Share of the n-grams that occurred before in the text.

    Example:
        repeated_share("a b a b a b", 2) == 0.6
    """
    parts = text.split()
    grams = [tuple(parts[i : i + words]) for i in range(len(parts) - words + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _unknown(row: TraceRow, what: str, rule: str) -> str:
    return (
        f"the filter '{rule}' needs traces that were {what}, and a trace of '{row.sample_id}' "
        f"from {row.origin or 'an unknown writer'} was not. Let a sample or teach stage write "
        "the traces, or leave the filter out."
    )
