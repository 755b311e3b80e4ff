"""The ladder and training on it: how questions are spread, how each rung goes over time."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.report import rows
from observe_r1.report.index import Index
from observe_r1.report.run import RunFolder, load_json

MAX_SPANS = 60
"""Columns of the heat map."""


def build_ladder(run: RunFolder, index: Index) -> dict[str, Any]:
    """Distribution over levels and rungs, the heat map, and what the data folder says of itself."""
    rungs = question_column(run, index, "rung")
    return {
        "levels": _count(question.level for question in run.questions.values()),
        "rungs": _count(question.rung for question in run.questions.values()),
        "families": _count(question.family or None for question in run.questions.values()),
        "heat": build_heat(index, rungs),
        "source": _source(run),
    }


def question_column(run: RunFolder, index: Index, name: str) -> np.ndarray:
    """A number of each group's question, such as its rung; NaN where it is not known."""
    values = np.full(max(len(index.sample_ids), 1), np.nan)
    for place, sample_id in enumerate(index.sample_ids):
        question = run.questions.get(sample_id)
        value = getattr(question, name) if question else None
        if value is not None:
            values[place] = value
    return values[index.groups["sample"]] if index.num_groups else np.empty(0)


def build_heat(index: Index, rungs: np.ndarray) -> dict[str, Any] | None:
    """Solve rate by rung (rows) and span of steps (columns), with how many groups each rests on."""
    known = np.isfinite(rungs)
    if not known.any():
        return None
    groups, rungs = index.groups[known], rungs[known].astype(int)
    steps = groups["step"].astype(np.int64)
    edges, span = _spans(steps)
    names = np.unique(rungs)
    shape = (len(names), len(edges))
    cell = (np.searchsorted(names, rungs), span)
    counts, rates = np.zeros(shape), np.zeros(shape)
    np.add.at(counts, cell, 1)
    np.add.at(rates, cell, groups["correct"] / np.maximum(groups["size"], 1))
    with np.errstate(invalid="ignore"):
        rates = np.where(counts > 0, rates / counts, np.nan)
    return {
        "rungs": [int(name) for name in names],
        "spans": edges,
        "rate": [[rows.rounded(rows.number(value), 3) for value in row] for row in rates.tolist()],
        "groups": counts.astype(int).tolist(),
        "trained": _place(edges, span, rungs),
    }


def _spans(steps: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
    """Spans of equal width over the steps, and the span of each group."""
    first, last = int(steps.min()), int(steps.max())
    width = -(-(last - first + 1) // MAX_SPANS)
    edges = [[low, min(low + width - 1, last)] for low in range(first, last + 1, width)]
    return edges, (steps - first) // width


def _place(edges: list[list[int]], span: np.ndarray, rungs: np.ndarray) -> list[float | None]:
    """The mean rung that was trained in each span."""
    counts = np.bincount(span, minlength=len(edges))
    sums = np.bincount(span, weights=rungs, minlength=len(edges))
    return [rows.rounded(s / c, 3) if c else None for s, c in zip(sums, counts, strict=True)]


def _count(values: Any) -> list[list[Any]]:
    counts = Counter(value for value in values if value is not None)
    return [[name, counts[name]] for name in sorted(counts)]


def _source(run: RunFolder) -> dict[str, Any] | None:
    """Counts of ``ladder.json`` where the run names a data folder that is still there."""
    named = run.config.get("data")
    if not isinstance(named, str) or "\0" in named:
        return None
    found = load_json(Path(named) / "ladder.json")
    if not isinstance(found, dict):
        return None
    flat = {key: value for key, value in found.items() if isinstance(value, int | float | str)}
    return {rows.text(key): rows.text(value) for key, value in list(flat.items())[:20]}
