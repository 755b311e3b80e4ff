"""Runs compared on the same questions: paired differences, and the questions won and lost.

What is paired, per question that both runs answered:

    each evaluation of the same name   share of right answers
    the last fifth of training         solve rate of the question's groups, where both asked it
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.errors import RunError
from observe_r1.report import rows
from observe_r1.report.evaluations import (
    Evaluation,
    Prediction,
    asked_otherwise,
    mean_interval,
    read_evaluations,
)
from observe_r1.report.index import Index, Progress, open_index
from observe_r1.report.run import RunFolder, open_run

MAX_PAIRS = 400
"""Questions won or lost that are shown with their answers, for each comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much better the second run is than the first, on the same questions.

    Example:
        Difference(on="eval after", run="B", questions=200, first=0.52, second=0.58, value=0.06,
                   low=0.01, high=0.11, won=31, lost=19)
    """

    on: str
    run: str
    """Letter of the second run; the first is always A."""
    questions: int
    first: float
    second: float
    value: float
    low: float
    """95 % interval from a bootstrap over questions."""
    high: float
    won: int
    """Questions the second run answers more often than the first."""
    lost: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clear": self.clear}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run of a comparison, opened."""

    letter: str
    folder: RunFolder
    index: Index
    evaluations: Mapping[str, Evaluation]

    @property
    def label(self) -> str:
        return f"{self.letter} {self.folder.name}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that a comparison found."""

    runs: tuple[Compared, ...]
    differences: tuple[Difference, ...]
    pairs: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "runs": [{"letter": run.letter, "path": str(run.folder.path)} for run in self.runs],
            "differences": [difference.to_dict() for difference in self.differences],
            "problems": list(self.problems),
        }


def compare_runs(folders: Sequence[Path], progress: Progress | None = None) -> Comparison:
    """Compare each run with the first."""
    if len(folders) < 2:
        raise RunError(f"{len(folders)} run was given. Name two or more to compare.")
    if len(folders) > 26:
        raise RunError(f"{len(folders)} runs were given; at most 26 can be compared at once.")
    runs = tuple(_open(folder, place, progress) for place, folder in enumerate(folders))
    first, differences, pairs = runs[0], [], []
    problems = _problems(runs)
    for other in runs[1:]:
        twins = _false_twins(first, other)
        if twins:
            problems.append(
                f"Questions with one id but other texts or gold answers in {first.letter} and "
                f"{other.letter} are left out: {len(twins)}."
            )
        for name in (name for name in first.evaluations if name in other.evaluations):
            one, two = (_without(run.evaluations[name], twins) for run in (first, other))
            if unlike := asked_otherwise(one, two):
                problems.append(
                    f"‘{name}’ was asked otherwise in {first.letter} than in {other.letter}: "
                    f"{', '.join(unlike)}. The difference may be one of asking."
                )
            found, shown = _pair(first, other, one, two)
            differences += found
            pairs += shown
        differences += _training(first, other, twins)
    return Comparison(
        runs=runs,
        differences=tuple(differences),
        pairs=tuple(pairs),
        problems=tuple(problems),
    )


def _open(folder: Path, place: int, progress: Progress | None) -> Compared:
    run = open_run(folder)
    return Compared(
        letter=chr(ord("A") + place),
        folder=run,
        index=open_index(run.rollouts, progress),
        evaluations={e.name: e for e in read_evaluations(run) if e.answers},
    )


def _false_twins(first: Compared, other: Compared) -> set[str]:
    """Ids that stand for different questions in the two runs: nothing to be compared."""
    mine, theirs = first.folder.questions, other.folder.questions
    return {
        name
        for name in mine.keys() & theirs.keys()
        if (mine[name].text, mine[name].answer) != (theirs[name].text, theirs[name].answer)
    }


def _without(evaluation: Evaluation, left_out: set[str]) -> Evaluation:
    kept = {name: found for name, found in evaluation.answers.items() if name not in left_out}
    return replace(evaluation, answers=kept)


def _pair(
    first: Compared, other: Compared, one: Evaluation, two: Evaluation
) -> tuple[list[Difference], list[dict[str, Any]]]:
    """Both runs on one evaluation; nothing where they share no question."""
    difference = _difference(f"eval {one.name}", other.letter, one.shares, two.shares)
    title = f"{other.letter} against {first.letter} on {one.name}"
    changes = {q: two.shares[q] - one.shares[q] for q in one.shares.keys() & two.shares.keys()}
    ordered = sorted((q for q in changes if changes[q]), key=lambda q: (-abs(changes[q]), q))
    pairs = [
        {
            "title": title,
            "sample": question,
            "change": rows.rounded(changes[question], 4),
            "sides": [
                _side(first.label, one, question, changes[question] < 0),
                _side(other.label, two, question, changes[question] > 0),
            ],
        }
        for question in ordered[:MAX_PAIRS]
    ]
    return difference, pairs


def _difference(
    on: str, letter: str, first: Mapping[str, float], second: Mapping[str, float]
) -> list[Difference]:
    """One difference, or none where no question is shared."""
    shared = sorted(first.keys() & second.keys())
    changes = [second[name] - first[name] for name in shared]
    interval = mean_interval(changes)
    if interval is None:
        return []
    found = Difference(
        on=on,
        run=letter,
        questions=len(shared),
        first=sum(first[name] for name in shared) / len(shared),
        second=sum(second[name] for name in shared) / len(shared),
        value=interval["value"],
        low=interval["low"],
        high=interval["high"],
        won=sum(change > 0 for change in changes),
        lost=sum(change < 0 for change in changes),
    )
    return [found]


def _training(first: Compared, other: Compared, left_out: set[str]) -> list[Difference]:
    one, two = (
        {name: rate for name, rate in _last_rates(run.index).items() if name not in left_out}
        for run in (first, other)
    )
    return _difference("last fifth of training", other.letter, one, two)


def _last_rates(index: Index) -> dict[str, float]:
    """Solve rate of each question over its groups in the last fifth of the steps."""
    if not index.num_groups:
        return {}
    steps = index.groups["step"]
    late = steps >= steps.min() + 0.8 * (int(steps.max()) - int(steps.min()))
    rates: dict[str, list[float]] = defaultdict(list)
    chosen = index.groups["sample"][late]
    for sample, rate in zip(chosen, index.solve_rates[late], strict=True):
        rates[index.sample_ids[int(sample)]].append(float(rate))
    return {name: float(np.mean(values)) for name, values in rates.items()}


def _side(label: str, evaluation: Evaluation, question: str, better: bool) -> dict[str, Any]:
    """The answer that is shown: a right one of the run that won, a wrong one of the other."""
    answers = evaluation.answers[question]
    shown = next((answer for answer in answers if answer.correct is better), answers[0])
    return {
        "run": label,
        "share": evaluation.shares[question],
        "answers": len(answers),
        **_said(shown),
    }


def _said(prediction: Prediction) -> dict[str, Any]:
    shown, left_out = rows.shorten(prediction.text, 4000)
    return {
        "text": shown,
        "correct": prediction.correct,
        "answer": prediction.answer,
    } | ({"left_out": left_out} if left_out else {})


def _problems(runs: Sequence[Compared]) -> list[str]:
    """What a reader should know before believing a difference."""
    found = [
        f"{run.letter}: {said}"
        for run in runs
        for said in (*run.folder.notes, *run.folder.problems)
    ]
    for name, word in (("data", "data"), ("model", "models")):
        values = {rows.text(run.folder.config.get(name)) for run in runs}
        if len(values) > 1:
            found.append(f"The runs started from different {word}: {', '.join(sorted(values))}.")
    seeds = [run.folder.stage.get("seed") for run in runs]
    recipes = {rows.text(run.folder.config.get("recipe")) for run in runs}
    if len(recipes) > 1 or len(set(map(str, seeds))) == 1:
        text = (
            "Each run is one seed: the intervals cover the choice of questions, not the chance in "
        )
        found.append(text + "training. ‘observe-r1 reproduce’ runs several seeds.")
    return found
