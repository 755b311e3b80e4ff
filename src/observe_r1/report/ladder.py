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
    # Held-out questions stand in samples.jsonl too, and on no rung.
    asked = [q for q in run.questions.values() if q.rung is not None] or run.questions.values()
    ladder = _ladder_of_data(run)
    levels, built = _built(ladder)
    return {
        "levels": levels or _count(question.level for question in asked),
        "rungs": built or _count(question.rung for question in asked),
        "families": _count(question.family or None for question in asked),
        "whole": bool(built),
        "heat": build_heat(index, rungs),
        "source": _source(ladder),
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


def _ladder_of_data(run: RunFolder) -> dict[str, Any]:
    """``ladder.json`` where the run names a data folder that is still there."""
    named = run.config.get("data")
    if not isinstance(named, str) or "\0" in named:
        return {}
    found = load_json(Path(named) / "ladder.json")
    return found if isinstance(found, dict) else {}


def _built(ladder: dict[str, Any]) -> tuple[list[list[Any]], list[list[Any]]]:
    """How many questions the whole ladder has by level and by rung, where it says so."""
    table = ladder.get("samples_by_rung_and_level")
    if not isinstance(table, list) or not all(isinstance(row, list) for row in table):
        return [], []
    counts = [[max(rows.whole(value, 0), 0) for value in row] for row in table[:64]]
    width = max((len(row) for row in counts), default=0)
    levels = [[n, sum(row[n] for row in counts if n < len(row))] for n in range(min(width, 64))]
    return levels, [[n, sum(row)] for n, row in enumerate(counts)]


def _source(ladder: dict[str, Any]) -> dict[str, str]:
    """The plain facts of ``ladder.json``."""
    plain = {name: value for name, value in ladder.items() if isinstance(value, int | float | str)}
    return {rows.text(name): rows.text(value) for name, value in list(plain.items())[:20]}
