"""A finished trial → the numbers that claims are about.

accuracy            held-out, sampled, strict                     accuracy/level 3 … by level
format, length, length_correct, truncated                         of the same answers
accuracy/easy, accuracy/hard, length/easy, length/hard            lowest two and highest two levels
eot                 accuracy in per cent for each token of length
sight_gap           accuracy minus accuracy with a hint in the text
curve_area          mean height of the learning curve over generated tokens
rollouts_to_target  completions drawn until the curve first reaches the target; absent if never
no_signal           share of groups that moved nothing, mean over steps
format_noise        standard deviation of a step's share of well-formed answers, second half of RL
steps/<stage>       how many steps a stage took
observed_precision, observed_recall   of the facts stated in the observe section
loss/<name>         on held-out solutions                         judge/<check> of a judge stage
<name>/…            all of these, of what is measured besides
gf                  SPECS' generalization factor, of forms that were not trained on
tokens_generated, tokens_updated, rollouts, seconds               what the trial cost

and what ``text_readouts`` reads off the answers' wording.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from observe_r1.config.run import RunConfig
from observe_r1.eval.observation import observation_quality
from observe_r1.experiments.costs import Costs, costs_of, stage_rows
from observe_r1.experiments.measuring import EVAL, FINAL, LOSSES, SHORTCUT, also_questions
from observe_r1.experiments.plan import Experiment
from observe_r1.experiments.text_readouts import read_texts, thought_drift
from observe_r1.records import read_json, read_rows
from observe_r1.types import Sample

Numbers = dict[str, float]
Points = list[tuple[float, float]]
"""A learning curve: tokens generated so far, held-out accuracy."""
Row = Mapping[str, Any]
EASY, HARD = (0, 1), (3, 4)
"""Levels that puzzles are made at."""


def read_trial(
    experiment: Experiment, run: RunConfig, folder: Path, questions: Sequence[Sample]
) -> Numbers:
    """All readouts of a trial that has been trained and measured."""
    stages = list(stage_rows(folder))
    numbers = _cost_numbers(costs_of(folder)) | _steps(stages) | _judge(stages)
    rl = [row for stage, rows in stages if stage.type == "rl" for row in rows]
    if rl:
        numbers |= _of_rl(rl)
        numbers |= _curve(rl, experiment.measure.target_accuracy, experiment.budget.generated)
        numbers |= thought_drift(_rollouts(run, folder))
    if questions:
        numbers |= read_final(folder / EVAL / FINAL, questions)
    if experiment.measure.shortcut and "accuracy" in numbers:
        hinted = read_json(folder / EVAL / SHORTCUT / "scores.json")["accuracy"]["value"]
        numbers |= {} if hinted is None else {"sight_gap": numbers["accuracy"] - hinted}
    for also in experiment.measure.also:
        if (folder / EVAL / also.name / "scores.json").exists():
            found = _answers(folder / EVAL / also.name, also_questions(experiment.measure, also))
            numbers |= {f"{also.name}/{name}": value for name, value in found.items()}
    numbers |= generalization(numbers)
    if (folder / EVAL / LOSSES).exists():
        losses = read_json(folder / EVAL / LOSSES)
        numbers |= {f"loss/{name}": value for name, value in losses.items()}
    return numbers


def _cost_numbers(costs: Costs) -> Numbers:
    return {
        "tokens_generated": costs.generated,
        "tokens_updated": costs.updated,
        "tokens_taught": costs.taught,
        "rollouts": costs.rollouts,
        "seconds": costs.seconds,
    }


def _steps(stages: Iterable[tuple[Any, Sequence[Row]]]) -> Numbers:
    return {f"steps/{stage.name}": float(len(rows)) for stage, rows in stages if rows}


def _judge(stages: Iterable[tuple[Any, Sequence[Row]]]) -> Numbers:
    rows = [row for stage, rows in stages if stage.type == "judge" for row in rows]
    return {name: value for row in rows for name, value in row.items() if name[:6] == "judge/"}


def _answers(folder: Path, questions: Sequence[Sample]) -> Numbers:
    rows = list(read_rows(folder / "predictions.jsonl"))
    return _scores(folder) | read_texts(questions, rows)


def read_final(folder: Path, questions: Sequence[Sample]) -> Numbers:
    """Readouts of one evaluation of the final questions."""
    rows = list(read_rows(folder / "predictions.jsonl"))
    numbers = _answers(folder, questions)
    quality = observation_quality(questions, rows)
    if quality is not None:
        numbers["observed_precision"] = quality.precision
        numbers["observed_recall"] = quality.recall
    for name, levels in (("easy", EASY), ("hard", HARD)):
        ids = {q.id for q in questions if q.metadata.get("puzzle_level") in levels}
        chosen = [row for row in rows if row["sample_id"] in ids]
        if chosen:
            numbers[f"accuracy/{name}"] = fmean(bool(row["correct"]) for row in chosen)
            numbers[f"length/{name}"] = fmean(row["num_tokens"] for row in chosen)
    if numbers.get("length"):
        numbers["eot"] = 100 * numbers["accuracy"] / numbers["length"]
    return numbers


def _scores(folder: Path) -> Numbers:
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


def generalization(numbers: Mapping[str, float], b: float = 2.0) -> Numbers:
    """SPECS' generalization factor, of the share of well-formed answers in the form trained on
    (measured as ``id``) and in others (``ood_…``): (1 + b²)·ID·OOD / (b²·ID + OOD).

    Example:
        generalization({"id/format": 0.98, "ood_sketch/format": 0.69})["gf"] == 0.734
    """
    others = [v for name, v in numbers.items() if name[:4] == "ood_" and name[-7:] == "/format"]
    trained = numbers.get("id/format")
    if trained is None or not others:
        return {}
    other = fmean(others)
    weighed = b * b * trained + other
    factor = (1 + b * b) * trained * other / weighed if weighed else 0.0
    return {"ood_format": other, "gf": factor}


def _of_rl(rows: Sequence[Row]) -> Numbers:
    late = [row["format"] for row in rows[len(rows) // 2 :] if "format" in row]
    numbers = {
        "groups_drawn": sum(row.get("groups/drawn", 0) for row in rows),
        "no_signal": fmean(row.get("groups/zero_weight", 0.0) for row in rows),
    }
    return numbers | ({"format_noise": pstdev(late)} if len(late) > 1 else {})


def _rollouts(run: RunConfig, folder: Path) -> list[Row]:
    """Rollouts of the first and of the last steps of all RL stages together."""
    from observe_r1.stages.handover import stage_folders

    paths = [place / "rollouts.jsonl" for place, stage in stage_folders(run, folder)
             if stage.type == "rl"]  # fmt: skip
    return [row for path in paths if path.exists() for row in read_rows(path)]


def _curve(steps: Sequence[Row], target: float, budget: int | None) -> Numbers:
    """Held-out accuracy against what was generated until then."""
    points, completions, reached = _points(steps), 0.0, None
    for row in steps:
        completions += row.get("tokens/generated", 0) / max(row.get("length", 1.0), 1.0)
        if reached is None and row.get("eval/accuracy", -1.0) >= target:
            reached = completions
    numbers = {} if reached is None else {"rollouts_to_target": reached}
    return numbers | ({"curve_area": curve_area(points, budget)} if points else {})


def curve_points(folder: Path) -> Points:
    """The learning curve of a trial, from its metrics."""
    return _points(
        [row for stage, rows in stage_rows(folder) if stage.type == "rl" for row in rows]
    )


def _points(steps: Iterable[Row]) -> Points:
    tokens, points = 0.0, []
    for row in steps:
        tokens += row.get("tokens/generated", 0)
        if "eval/accuracy" in row:
            points.append((tokens, row["eval/accuracy"]))
    return points


def curve_area(points: Sequence[tuple[float, float]], budget: float | None = None) -> float:
    """Mean height of a curve given by points, by the trapezoid rule.

    With a budget it is that from nought to the budget, the same stretch for every arm: before its
    first point and after its last a curve stays level.

    Example:
        curve_area([(0, 0.2), (10, 0.4), (20, 0.4)]) == 0.35
        curve_area([(10, 0.2), (20, 0.4)], budget=40) == 0.325
    """
    if budget is not None:
        last = min(points[-1][0], budget)  # the step that spends the rest of it may overshoot
        inside = [(min(x, last), y) for x, y in points]
        points = [(0.0, inside[0][1]), *inside, (float(budget), inside[-1][1])]
    width = points[-1][0] - points[0][0]
    if width <= 0:
        return points[-1][1]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return area / width
