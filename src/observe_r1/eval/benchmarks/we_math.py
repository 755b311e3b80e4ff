"""We-Math (arXiv 2407.01284), split testmini: composite problems with their one-step parts.

    {"ID": "3steps_1", "split": "testmini", "knowledge concept": "Area of Circles",
     "question": "As shown in the diagram, …", "option": "A. 6; B. 12; C. 24; D. No correct answer",
     "answer": "B", "image_path": {"bytes": …}, "key": "3steps_multi", "problem number": 12}

A composite problem (``…_multi``) is judged together with its steps. With all steps right or not, and
the composite right or not:

    steps right, composite right      complete mastery
    steps right, composite wrong      inadequate generalisation
    a step wrong, composite wrong     insufficient knowledge
    a step wrong, composite right     rote memorisation (strict: any step wrong; loose: all wrong)

The figure is complete mastery plus half of inadequate generalisation, loosely counted where a composite
with at least one right step still counts as mastered.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from observe_r1.errors import DataError
from observe_r1.eval.benchmarks.base import (
    Benchmark,
    FindImage,
    Marks,
    Row,
    make_sample,
    require,
    said,
)
from observe_r1.eval.benchmarks.letters import pick_option
from observe_r1.types import Sample

_OPTION = re.compile(r"\s*([A-H])\s*[.:)]\s*(.*?)\s*(?:;|$)(?=\s*[A-H]\s*[.:)]|\s*$)", re.S)


def read_row(row: Row, find_image: FindImage) -> list[Sample]:
    options = [text for _, text in _OPTION.findall(str(require(row, "option")))]
    if len(options) < 2:
        raise DataError(f"options cannot be read from {row['option']!r}")
    key = str(row.get("key") or require(row, "ID"))
    number = row.get("problem number", row.get("problem_number"))
    if number is None:
        raise DataError("column 'problem number' is empty")
    sample = make_sample(
        identity=f"wemath-{number}-{key}",
        question=str(require(row, "question")),
        answer=str(require(row, "answer")).strip(" ."),
        images=[find_image(row.get("image_path") or row.get("image"))],
        options=options,
        source="wemath",
        family=row.get("knowledge concept"),
        metadata={"problem": str(number), "key": key},
    )
    return [sample]


def is_right(sample: Sample, text: str) -> bool:
    return pick_option(said(text), sample.options) == sample.answer


def combine(samples: Sequence[Sample], marks: Marks) -> tuple[float | None, dict[str, float]]:
    """The four shares over composite problems all of whose parts were answered."""
    problems: dict[str, dict[str, float]] = defaultdict(dict)
    for sample in samples:
        if sample.id in marks:
            problems[str(sample.metadata["problem"])][str(sample.metadata["key"])] = marks[sample.id]
    counts: dict[str, float] = defaultdict(float)
    whole = [parts for parts in problems.values() if _is_composite(parts)]
    for parts in whole:
        counts[_strict(parts)] += 1
        counts[f"loose {_loose(parts)}"] += 1
    if not whole:
        return None, {}
    shares = {name: count / len(whole) for name, count in sorted(counts.items())}
    strict = shares.get(MASTERY, 0) + shares.get(GENERALISATION, 0) / 2
    loose = shares.get(f"loose {MASTERY}", 0) + shares.get(f"loose {GENERALISATION}", 0) / 2
    return loose, {**shares, "strict figure": strict, "composite problems": float(len(whole))}


MASTERY = "complete mastery"
GENERALISATION = "inadequate generalisation"
KNOWLEDGE = "insufficient knowledge"
MEMORISATION = "rote memorisation"


def _is_composite(parts: dict[str, float]) -> bool:
    """A composite and exactly as many steps as its key promises ("2steps_multi")."""
    multi = [key for key in parts if key.endswith("multi")]
    promised = re.match(r"(\d+)steps", multi[0]) if len(multi) == 1 else None
    return promised is not None and len(parts) == int(promised.group(1)) + 1


def _split(parts: dict[str, float]) -> tuple[list[bool], bool]:
    steps = [mark >= 0.5 for key, mark in parts.items() if not key.endswith("multi")]
    (composite,) = [mark >= 0.5 for key, mark in parts.items() if key.endswith("multi")]
    return steps, composite


def _strict(parts: dict[str, float]) -> str:
    steps, composite = _split(parts)
    if composite:
        return MASTERY if all(steps) else MEMORISATION
    return GENERALISATION if all(steps) else KNOWLEDGE


def _loose(parts: dict[str, float]) -> str:
    steps, composite = _split(parts)
    if composite:
        return MASTERY if any(steps) else MEMORISATION
    return GENERALISATION if all(steps) else KNOWLEDGE


WE_MATH = Benchmark(
    name="wemath",
    title="We-Math testmini",
    hub="We-Math/We-Math",
    split="testmini",
    files="*testmini*",
    status="from documentation",
    needs_judge=False,
    columns=("question", "option", "answer", "knowledge concept"),
    read_row=read_row,
    is_right=is_right,
    combine=combine,
)
