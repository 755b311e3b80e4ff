"""We-Math (arXiv 2407.01284), testmini: composite problems together with their one-step parts.

    {"ID": "3steps_1", "key": "3steps_multi", …}   the composite problem
    {"ID": "3steps_1", "key": "3steps_1", …}       its first step, and so on

A composite problem is judged with its steps:

    all steps right, composite right      complete mastery
    all steps right, composite wrong      inadequate generalisation
    a step wrong, composite wrong         insufficient knowledge
    a step wrong, composite right         rote memorisation; the loose figure counts it as mastery
                                          where at least one step is right

The figure is complete mastery plus half of inadequate generalisation.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from observe_r1.data.sources.we_math import ADAPTER
from observe_r1.eval.benchmarks.base import Benchmark, Figure, Marks, Row
from observe_r1.eval.benchmarks.letters import picks_gold
from observe_r1.types import Sample

MASTERY = "complete mastery"
GENERALISATION = "inadequate generalisation"
KNOWLEDGE = "insufficient knowledge"
MEMORISATION = "rote memorisation"


def facts(row: Row) -> dict[str, Any]:
    return {"problem": str(row.get("ID")), "key": str(row.get("key"))}


def combine(samples: Sequence[Sample], marks: Marks) -> Figure:
    """Shares over the composite problems all of whose parts were answered."""
    problems: dict[str, dict[str, bool]] = defaultdict(dict)
    for sample in samples:
        if sample.id in marks:
            parts = problems[sample.metadata["problem"]]
            parts[sample.metadata["key"]] = marks[sample.id] >= 0.5
    whole = [parts for parts in problems.values() if is_whole(parts)]
    if not whole:
        return None, {}
    strict, loose = _figure(whole, all), _figure(whole, any)
    counts: dict[str, float] = dict.fromkeys((MASTERY, GENERALISATION, KNOWLEDGE, MEMORISATION), 0)
    for parts in whole:
        counts[outcome(parts, all)] += 1 / len(whole)
    return strict, {"loose figure": loose, **counts, "composite problems": float(len(whole))}


def _figure(whole: Sequence[dict[str, bool]], enough: Any) -> float:
    outcomes = [outcome(parts, enough) for parts in whole]
    return (outcomes.count(MASTERY) + outcomes.count(GENERALISATION) / 2) / len(outcomes)


def is_whole(parts: dict[str, bool]) -> bool:
    """One composite, and as many steps as its key promises (``2steps_multi``)."""
    composites = [key for key in parts if key.endswith("multi")]
    return len(composites) == 1 and composites[0][:1] == str(len(parts) - 1)


def outcome(parts: dict[str, bool], enough: Any) -> str:
    """Which of the four; ``enough`` (all, any): how many right steps make a mastered composite."""
    steps = [right for key, right in parts.items() if not key.endswith("multi")]
    (composite,) = [right for key, right in parts.items() if key.endswith("multi")]
    if composite:
        return MASTERY if enough(steps) else MEMORISATION
    return GENERALISATION if all(steps) else KNOWLEDGE


BENCHMARK = Benchmark(
    name="we_math",
    title="We-Math testmini",
    adapter=ADAPTER,
    hub="We-Math/We-Math:default/testmini",
    columns=("ID", "question", "option", "answer", "key"),
    facts=facts,
    is_right=picks_gold,
    combine=combine,
)
