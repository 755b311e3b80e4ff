"""A finished trial → the numbers that claims are about.

accuracy            held-out, sampled, strict                     accuracy/level 3 … by level
format, length, length_correct, truncated                         of the same answers
sight_gap           accuracy minus accuracy with a hint in the text
curve_area          mean height of the learning curve over generated tokens
rollouts_to_target  completions drawn until the curve first reaches the target; absent if never
no_signal           share of groups that moved nothing, mean over steps
observed_precision, observed_recall   of the facts stated in the observe section
tokens_generated, tokens_updated      what the trial cost
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from observe_r1.eval.observation import observation_quality
from observe_r1.records import read_json, read_rows
from observe_r1.types import Sample

Numbers = dict[str, float]


def read_trial(folder: Path, questions: Sequence[Sample], target: float) -> Numbers:
    """All readouts of a trial that has been trained and measured."""
    steps = list(read_rows(folder / "metrics.jsonl"))
    numbers = _final(folder / "eval" / "final") | _costs(steps) | _curve(steps, target)
    hinted = read_json(folder / "eval" / "shortcut" / "scores.json")["accuracy"]["value"]
    if hinted is not None and "accuracy" in numbers:
        numbers["sight_gap"] = numbers["accuracy"] - hinted
    quality = observation_quality(questions, read_rows(folder / "eval" / "final/predictions.jsonl"))
    if quality is not None:
        numbers["observed_precision"] = quality.precision
        numbers["observed_recall"] = quality.recall
    return numbers


def _final(folder: Path) -> Numbers:
    scores = read_json(folder / "scores.json")
    found = {
        "accuracy": scores["accuracy"]["value"],
        "accuracy_lenient": scores["accuracy_lenient"]["value"],
        "format": scores["format_valid"]["value"],
        "truncated": scores["truncated"]["value"],
        "length": scores["mean_tokens"],
        "length_correct": scores["mean_tokens_correct"],
    }
    for level, share in scores["per_puzzle_level"].items():
        found[f"accuracy/level {level}"] = share["value"]
    for family, share in scores["per_family"].items():
        found[f"accuracy/{family}"] = share["value"]
    return {name: value for name, value in found.items() if value is not None}


def _costs(steps: Sequence[Mapping[str, Any]]) -> Numbers:
    return {
        "tokens_generated": sum(row.get("tokens/generated", 0) for row in steps),
        "tokens_updated": sum(row.get("tokens/computed", 0) for row in steps),
        "groups_drawn": sum(row.get("groups/drawn", 0) for row in steps),
        "no_signal": fmean(row.get("groups/zero_weight", 0.0) for row in steps) if steps else 0.0,
        "seconds": sum(row.get("timing/step", 0.0) for row in steps),
    }


def _curve(steps: Sequence[Mapping[str, Any]], target: float) -> Numbers:
    """Held-out accuracy against what was generated until then."""
    tokens = completions = 0.0
    points: list[tuple[float, float]] = []
    reached = None
    for row in steps:
        tokens += row.get("tokens/generated", 0)
        completions += row.get("tokens/generated", 0) / max(row.get("length", 1.0), 1.0)
        if "eval/accuracy" in row:
            points.append((tokens, row["eval/accuracy"]))
            if reached is None and row["eval/accuracy"] >= target:
                reached = completions
    numbers = {} if reached is None else {"rollouts_to_target": reached}
    return numbers | ({"curve_area": curve_area(points)} if points else {})


def curve_area(points: Sequence[tuple[float, float]]) -> float:
    """Mean height of a curve given by points, by the trapezoid rule.

    Example:
        curve_area([(0, 0.2), (10, 0.4), (20, 0.4)]) == 0.35
    """
    width = points[-1][0] - points[0][0]
    if width <= 0:
        return points[-1][1]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return area / width
