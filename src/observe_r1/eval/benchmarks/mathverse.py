"""MathVerse (arXiv 2403.14624), testmini: every problem in five versions, from much text to none.

Its own scoring lets one language model pull the answer out and another compare it with the gold.
The figure is the mean over all versions; the versions are its breakdown.
"""

from typing import Any

from observe_r1.data.sources.base import split_options
from observe_r1.data.sources.mathverse import ADAPTER, IN_THE_PICTURE
from observe_r1.eval.benchmarks.base import Benchmark, Row, mean_by
from observe_r1.eval.benchmarks.letters import picks_gold
from observe_r1.grading import grade
from observe_r1.types import Sample


def prepare(row: Row) -> Row:
    """Rows without a text question get one; their options stand in the question for the judge."""
    if str(row.get("question") or "").strip():
        return row
    _, options = split_options(str(row.get("question_for_eval") or ""))
    lines = [f"{chr(ord('A') + i)}:{option}" for i, option in enumerate(options)]
    return {
        **row,
        "question": "\n".join([IN_THE_PICTURE, *(["Choices:", *lines] if lines else [])]),
    }


def facts(row: Row) -> dict[str, Any]:
    return {"version": row.get("problem_version")}


def is_right(sample: Sample, text: str) -> bool:
    if sample.options:
        return picks_gold(sample, text)
    return grade(text, sample.answer, kind=sample.kind, extract="plain").correct


BENCHMARK = Benchmark(
    name="mathverse",
    title="MathVerse testmini",
    adapter=ADAPTER,
    hub="AI4Math/MathVerse:testmini/testmini",
    judging="compare",
    columns=("sample_index", "problem_version", "question", "answer", "question_type"),
    prepare=prepare,
    facts=facts,
    is_right=is_right,
    combine=mean_by(lambda sample: str(sample.metadata["version"])),
)
