"""The evaluations of a run, and the table of before and after."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.report import rows
from observe_r1.report.run import RunFolder, load_json

RESAMPLES = 2000
FIRST = ("base", "before", "start", "initial")
LAST = ("after", "end", "final", "trained", "latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A row of ``predictions.jsonl``; what is missing is empty."""

    index: int
    text: str
    answer: str | None
    correct: bool
    num_tokens: int | None
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One folder under ``eval/``: answers by question, and the scores written beside them."""

    name: str
    answers: Mapping[str, tuple[Prediction, ...]]
    scores: Mapping[str, Any]
    settings: Mapping[str, Any]
    """How it was asked; empty for evaluations of others."""

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of right answers of each question."""
        return {
            question: sum(row.correct for row in answers) / len(answers)
            for question, answers in self.answers.items()
        }


def read_evaluations(run: RunFolder) -> list[Evaluation]:
    """Every evaluation of the run, in the order of training as far as names tell."""
    folder = run.path / "eval"
    if not folder.is_dir():
        return []
    found = [read_evaluation(path) for path in folder.iterdir() if path.is_dir()]
    return sorted((e for e in found if e.answers or e.scores), key=lambda e: _order(e.name))


def read_evaluation(folder: Path) -> Evaluation:
    answers: dict[str, list[Prediction]] = defaultdict(list)
    path = folder / "predictions.jsonl"
    if path.is_file():
        for _, _, row in rows.Lines(path):
            answers[rows.text(row.get("sample_id"))].append(_prediction(row))
    return Evaluation(
        name=rows.text(folder.name),
        answers={name: tuple(found) for name, found in answers.items()},
        scores=rows.mapping(load_json(folder / "scores.json")),
        settings=rows.mapping(load_json(folder / "config.json")),
    )


LIMITS = ("temperature", "top_p", "top_k", "min_p", "max_new_tokens")
ASKED = ("samples", "greedy", "extract", "seed", "shrink_images_to")


def asked_otherwise(one: Evaluation, other: Evaluation) -> list[str]:
    """Settings in which two evaluations differ that are no part of a method, with both values."""

    def values(evaluation: Evaluation) -> dict[str, str]:
        sampling = rows.mapping(evaluation.settings.get("sampling"))
        known = {name: sampling[name] for name in LIMITS if name in sampling}
        known |= {name: evaluation.settings[name] for name in ASKED if name in evaluation.settings}
        return {name: rows.text(value) for name, value in known.items()}

    mine, theirs = values(one), values(other)
    shared = (name for name in mine if name in theirs)
    return [f"{n} {mine[n]} and {theirs[n]}" for n in shared if mine[n] != theirs[n]]


def _prediction(row: Mapping[str, Any]) -> Prediction:
    tokens = rows.whole(row.get("num_tokens"))
    return Prediction(
        index=rows.whole(row.get("index"), 0),
        text=rows.text(row.get("text")),
        answer=None if row.get("answer") is None else rows.text(row.get("answer")),
        correct=row.get("correct") is True,
        num_tokens=tokens if tokens >= 0 else None,
        truncated=row.get("truncated") is True,
    )


def family_of(name: str) -> str:
    """Its name without its place in training: ``greedy`` of ``after-greedy``."""
    words = [word for word in re.split(r"[-_./]+", name.lower()) if word]
    rest = [w for w in words if w not in (*FIRST, *LAST, "step") and not w.isdigit()]
    return "-".join(rest)


def _order(name: str) -> tuple[str, int, int, str]:
    words = re.split(r"[-_./]+", name.lower())
    numbers = [int(word) for word in words if word.isdigit() and len(word) < 18]
    middle = 0 if any(w in FIRST for w in words) else 2 if any(w in LAST for w in words) else 1
    return family_of(name), middle, numbers[-1] if numbers else 0, name


def build_table(evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    """A row an evaluation; for each kind of evaluation the change from its first to its last."""
    evaluations = list(evaluations)
    changes = []
    for family in dict.fromkeys(family_of(e.name) for e in evaluations):
        members = [e for e in evaluations if family_of(e.name) == family]
        if len(members) > 1 and (change := compare_pair(members[0], members[-1])):
            changes.append(change)
    return {"rows": [table_row(e) for e in evaluations], "changes": changes}


def table_row(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers of one evaluation, from its scores where there are any, else its answers."""
    scores = evaluation.scores
    every = [row for answers in evaluation.answers.values() for row in answers]
    accuracy = _share(scores.get("accuracy"))
    if accuracy is None or "low" not in accuracy:
        accuracy = mean_interval(list(evaluation.shares.values())) or accuracy
    return {
        "name": evaluation.name,
        "questions": len(evaluation.answers) or rows.whole(scores.get("num_questions"), 0),
        "answers": len(every),
        "accuracy": accuracy,
        "lenient": _share(scores.get("accuracy_lenient")),
        "format": _share(scores.get("format_valid")),
        "majority": rows.number(scores.get("majority_at_k")),
        "pass_at_k": {
            rows.text(k): rows.rounded(rows.number(v), 4)
            for k, v in rows.mapping(scores.get("pass_at_k")).items()
        },
        "tokens": _mean_tokens(every),
        "truncated": sum(row.truncated for row in every) / len(every) if every else None,
        "per_level": _parts(scores.get("per_level")),
        "per_puzzle_level": _parts(scores.get("per_puzzle_level")),
        "per_family": _parts(scores.get("per_family")),
    }


def compare_pair(first: Evaluation, second: Evaluation) -> dict[str, Any] | None:
    """The difference in accuracy over the questions both answered, with its interval."""
    shared = sorted(first.shares.keys() & second.shares.keys())
    differences = [second.shares[name] - first.shares[name] for name in shared]
    interval = mean_interval(differences)
    if interval is None:
        return None
    return {
        "first": first.name,
        "second": second.name,
        "questions": len(shared),
        "from": sum(first.shares[name] for name in shared) / len(shared),
        "to": sum(second.shares[name] for name in shared) / len(shared),
        **interval,
    }


def mean_interval(values: list[float], seed: int = 0) -> dict[str, float] | None:
    """The mean and its 95 % percentile bootstrap interval; questions are what is resampled."""
    if not values:
        return None
    array = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    # In slices: two thousand resamples of a large benchmark at once would be gigabytes.
    width = max(1, 2_000_000 // len(array))
    for start in range(0, RESAMPLES, width):
        count = min(width, RESAMPLES - start)
        picks = rng.integers(0, len(array), size=(count, len(array)))
        means[start : start + count] = array[picks].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(array.mean()), "low": float(low), "high": float(high)}


def _share(value: Any) -> dict[str, float] | None:
    """A share as scores.json writes it: a number, or one with its interval."""
    if isinstance(value, Mapping):
        known = {key: rows.number(value.get(key)) for key in ("value", "low", "high")}
        found = {key: number for key, number in known.items() if number is not None}
        return found if "value" in found else None
    plain = rows.number(value)
    return None if plain is None else {"value": plain}


def _parts(value: Any) -> dict[str, float]:
    shares = {rows.text(name): _share(part) for name, part in rows.mapping(value).items()}
    return {name: share["value"] for name, share in shares.items() if share}


def _mean_tokens(every: list[Prediction]) -> float | None:
    counts = [row.num_tokens for row in every if row.num_tokens is not None]
    return sum(counts) / len(counts) if counts else None
