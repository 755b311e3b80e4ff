"""The benchmark's own number, from saved predictions."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from observe_r1.eval.benchmarks.base import Benchmark, Official
from observe_r1.types import Sample

OFFICIAL_RULE = "official rule"
WITH_A_JUDGE = "official rule with a judge"
NOT_OFFICIAL = "rule extraction, not official: the published scoring asks a judge"

Row = Mapping[str, Any]
Judge = Callable[[Sequence[tuple[Sample, str]]], list[bool]]
"""From questions and completions to whether each is right."""


def score_official(
    benchmark: Benchmark, samples: Sequence[Sample], rows: Iterable[Row], judge: Judge | None = None
) -> Official:
    """Score predictions by the benchmark's own rule, or by a judge where it asks for one."""
    by_id = {sample.id: sample for sample in samples}
    asked = [(by_id[row["sample_id"]], row["text"]) for row in rows if row["sample_id"] in by_id]
    if benchmark.needs_judge and judge is not None:
        verdicts, rule = judge(asked), WITH_A_JUDGE
    else:
        verdicts = [benchmark.is_right(sample, text) for sample, text in asked]
        rule = NOT_OFFICIAL if benchmark.needs_judge else OFFICIAL_RULE
    marks: dict[str, list[bool]] = defaultdict(list)
    for (sample, _), right in zip(asked, verdicts, strict=True):
        marks[sample.id].append(right)
    shares = {name: sum(found) / len(found) for name, found in marks.items()}
    figure, parts = benchmark.combine(samples, shares)
    return Official(figure, rule, dict(parts))
