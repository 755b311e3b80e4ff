"""A run folder, opened to be looked at: what is there is read, what is not is said."""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from observe_r1.errors import RunError
from observe_r1.report import rows
from observe_r1.report.groups import Question

FORMAT = 1
"""The newest format of run folders that is known here."""
QUIET_SECONDS = 180.0
"""A run that has written nothing for so long, and is not at its end, is taken to have stopped."""

MARKS = ("config.json", "metrics.jsonl", "rollouts.jsonl")
"""A folder with none of these is no run."""
STAGE = re.compile(r"\d{1,4}-.")
"""Names of stage folders."""
ASK_NOTHING = ("sft", "dpo", "params", "judge")
"""Types of stages that sample no completions, so that no rollouts are missed there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """``metrics.jsonl`` by column: a value a step, None where there is no finite one."""

    steps: list[int] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=dict)
    not_finite: dict[str, int] = field(default_factory=dict)
    """How often a metric was NaN or infinite."""

    def values(self, name: str) -> list[tuple[int, float]]:
        """The steps at which a metric has a value, and the value."""
        column = self.columns.get(name)
        if column is None:
            return []
        return [(s, v) for s, v in zip(self.steps, column, strict=True) if v is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """What a run folder says, its rollouts and evaluations aside: those are opened when needed."""

    path: Path
    """Where the rows are: a stage's folder in a run of several stages."""
    home: Path
    """Where config.json is."""
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: Metrics
    questions: Mapping[str, Question]
    problems: tuple[str, ...] = ()
    """What is missing or damaged, in sentences."""
    notes: tuple[str, ...] = ()
    """What else is good to know."""

    @property
    def name(self) -> str:
        path = self.path.resolve()
        name = path.name or str(self.path)
        if name == "run":  # says nothing, as in a demonstration's folder: its parent has the name
            name = f"{path.parent.name}/{name}"
        return rows.text(name if self.home == self.path else f"{self.home.resolve().name}/{name}")

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts.jsonl"

    @property
    def last_step(self) -> int | None:
        return self.metrics.steps[-1] if self.metrics.steps else None

    @property
    def stages(self) -> list[Mapping[str, Any]]:
        found = self.config.get("stages")
        return [rows.mapping(stage) for stage in found] if isinstance(found, list) else []

    @property
    def stage(self) -> Mapping[str, Any]:
        """The stage the rows belong to; else the last of reinforcement learning."""
        name = self.path.resolve().name.partition("-")[2] if self.home != self.path else None
        for stage in self.stages:
            if stage.get("name") == name:
                return stage
        learning = [stage for stage in self.stages if stage.get("type") == "rl"]
        return learning[-1] if learning else (self.stages[-1] if self.stages else {})

    @property
    def planned_steps(self) -> int | None:
        planned = rows.whole(self.stage.get("max_steps"))
        return planned if planned > 0 else None


def is_run(path: Path) -> bool:
    return _marks(path) > 0


def _marks(path: Path) -> int:
    return sum((path / name).is_file() for name in MARKS)


def stage_folders(path: Path) -> list[Path]:
    """The folders of a run of several stages, in their order: ``1-warm_up``, ``2-rl``."""
    if not (path / "config.json").is_file() or (path / "metrics.jsonl").exists():
        return []
    found = [p for p in path.iterdir() if STAGE.match(p.name) and p.is_dir() and is_run(p)]
    return sorted(found, key=lambda p: int(p.name.partition("-")[0]))


def open_run(path: Path) -> RunFolder:
    """Read a run folder; raise ``RunError`` only where there is nothing that could be shown."""
    if not path.is_dir():
        raise RunError(
            f"{path} is not a folder. Name the folder that was given to 'train' as --out."
        )
    if not is_run(path):
        likely = max(path.iterdir(), key=_marks, default=path)
        meant = f"Did you mean {likely}? " if is_run(likely) else ""
        raise RunError(
            f"{path} is not a run: it holds none of {', '.join(MARKS)}. {meant}Name the folder "
            "that was given to 'train' as --out, or a folder of such folders for 'view'."
        )
    problems: list[str] = []
    notes = []
    if stages := stage_folders(path):
        path = stages[-1]
        notes.append(
            f"The run has {len(stages)} stages so far; this is the last, {path.name}. Name the "
            "folder of another to see it, or look at all of them with ‘observe-r1 view’."
        )
    has_home = STAGE.match(path.resolve().name) and not (path / "config.json").exists()
    home = path.resolve().parent if has_home else path
    config = _read_object(home / "config.json", problems)
    environment = _read_object(home / "env.json", problems)
    _check_format([config, environment], problems)
    metrics = _read_metrics(path / "metrics.jsonl", problems)
    questions = _read_questions(path / "samples.jsonl", problems)
    if not (path / "rollouts.jsonl").is_file():
        problems.append("There is no rollouts.jsonl, so no completions can be shown.")
    run = RunFolder(
        path=path,
        home=home,
        config=config,
        environment=environment,
        metrics=metrics,
        questions=questions,
        notes=tuple(notes),
    )
    return replace(run, problems=tuple(p for p in problems if not _is_expected(run, p)))


def _is_expected(run: RunFolder, problem: str) -> bool:
    """An evaluation lacks what only training writes, and some stages sample no completions."""
    if "evaluates" in run.config:
        return problem.startswith("There is no ")
    missed = ("There is no rollouts.jsonl", "There is no samples.jsonl")
    return run.stage.get("type") in ASK_NOTHING and problem.startswith(missed)


def state(run: RunFolder, now: float | None = None) -> dict[str, Any]:
    """Whether the run is finished, goes on, or stopped before its end: a word and a sentence."""
    step, planned = run.last_step, run.planned_steps
    if "evaluates" in run.config:
        model = rows.text(run.config["evaluates"])
        return {"word": "finished", "text": f"An evaluation of {model}.", "step": 0}
    if step is None:
        return {"word": "empty", "text": "No step has been recorded yet.", "step": 0}
    quiet = (time.time() if now is None else now) - last_written(run.path)
    ended = run.environment.get("finished") or (run.path / "done.json").exists()
    if ended or (planned is not None and step >= planned):
        word, sentence = "finished", f"Finished: {step} {'step' if step == 1 else 'steps'}."
    elif quiet < QUIET_SECONDS:
        word = "running"
        sentence = f"Running: step {step}" + (f" of {planned}." if planned else ".")
    elif planned is None:
        word, sentence = "ended", f"{step} steps recorded."
    else:
        word, sentence = "unfinished", f"Unfinished: stopped at step {step} of {planned}."
    return {"word": word, "text": sentence, "step": step, "planned": planned}


def last_written(path: Path) -> float:
    """When any of the growing files was last written to, in seconds since 1970."""
    names = ("metrics.jsonl", "rollouts.jsonl")
    times = [(path / name).stat().st_mtime for name in names if (path / name).exists()]
    return max(times, default=0.0)


def started(run: RunFolder) -> datetime | None:
    for key in ("started", "start_time", "time"):
        try:
            return datetime.fromisoformat(rows.text(run.environment.get(key)))
        except ValueError:
            continue
    return None


def _read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        problems.append(f"There is no {path.name}.")
        return {}
    found = rows.parse_line(path.read_bytes())
    if found is None:
        problems.append(f"{path.name} cannot be read as JSON; it may be cut off.")
    return found or {}


def _check_format(parts: Iterable[Mapping[str, Any]], problems: list[str]) -> None:
    for part in parts:
        version = rows.whole(part.get("format"), 0)
        if version > FORMAT:
            problems.append(
                f"The run was written in format {version}; this version reads format {FORMAT}. "
                "What it knows is shown. Install a newer observe-r1 to see everything."
            )


def _read_metrics(path: Path, problems: list[str]) -> Metrics:
    if not path.is_file():
        problems.append("There is no metrics.jsonl, so there are no curves.")
        return Metrics()
    lines = rows.Lines(path)
    by_step: dict[int, dict[str, Any]] = {}
    for _, _, row in lines:
        step = rows.whole(row.get("step"))
        if step >= 0:
            by_step.setdefault(step, {}).update(flatten(row))
    _report_lines(lines, problems)
    return _tabulate(by_step)


def _tabulate(by_step: Mapping[int, Mapping[str, Any]]) -> Metrics:
    steps = sorted(by_step)
    columns: dict[str, list[float | None]] = {}
    not_finite: dict[str, int] = {}
    for place, step in enumerate(steps):
        for name, value in by_step[step].items():
            column = columns.setdefault(name, [None] * len(steps))
            column[place] = rows.number(value)
            if column[place] is None:
                not_finite[name] = not_finite.get(name, 0) + 1
    return Metrics(steps=steps, columns=columns, not_finite=not_finite)


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numbers by name, nested names joined by ``/``; what is no number is left out."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = prefix + rows.text(key)
        if name == "step":
            continue
        if isinstance(value, Mapping):
            if prefix.count("/") < 3:
                flat.update(flatten(value, name + "/"))
        elif isinstance(value, int | float):
            flat[name] = value
    return flat


def _read_questions(path: Path, problems: list[str]) -> dict[str, Question]:
    if not path.is_file():
        problems.append("There is no samples.jsonl, so questions and pictures are missing.")
        return {}
    lines = rows.Lines(path)
    questions = [Question.from_row(row) for _, _, row in lines]
    _report_lines(lines, problems)
    return {question.id: question for question in questions}


def _report_lines(lines: rows.Lines, problems: list[str]) -> None:
    if lines.broken:
        problems.append(f"{lines.broken} damaged lines of {lines.path.name} were left out.")
    if lines.torn:
        problems.append(f"The last line of {lines.path.name} is incomplete and was left out.")


def load_json(path: Path) -> Any:
    """A JSON file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
