"""A benchmark for ``observe-r1 eval``: its questions, and its own number beside ours."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.cli.console import complain, say

if TYPE_CHECKING:
    from observe_r1.endpoints import EndpointClient
    from observe_r1.eval.benchmarks.base import Benchmark, Official
    from observe_r1.types import Sample


@dataclass(frozen=True, slots=True)
class JudgeAt:
    """Where a judging model is served.

    Example:
        JudgeAt(url="http://127.0.0.1:8000/v1", model="", key_variable="OPENAI_API_KEY")
    """

    url: str
    model: str
    """Empty: the first that the server lists."""
    key_variable: str
    """The environment variable that holds the key; none is sent where it is not set."""


OfficialScoring = Callable[[Path, JudgeAt | None], dict[str, Any]]
"""From the evaluation's folder and a judge to the benchmark's own numbers."""


def open_benchmark(
    name: str, source: str | None, limit: int | None, shrink_images_to: int | None = None
) -> "tuple[str, list[Sample], OfficialScoring]":
    """The benchmark's name, its questions, and what scores an evaluation's folder its own way."""
    from observe_r1.eval.benchmarks import get_benchmark
    from observe_r1.eval.benchmarks.reading import read_benchmark

    benchmark = get_benchmark(name)
    reading = read_benchmark(benchmark, source, limit, shrink_images_to)
    say(f"{benchmark.title}: {reading.num_rows} rows, adapter {benchmark.adapter.status}")
    for reason, count in reading.left_out.items():
        complain(f"WARNING: {count} rows are left out of every number: {reason}")
    accounting = {"num_rows": reading.num_rows, "left_out": dict(reading.left_out)}

    def score(out: Path, judge: JudgeAt | None) -> dict[str, Any]:
        if judge is not None and not benchmark.needs_judge:
            complain(f"--judge is not needed: {benchmark.title} is scored by a rule alone.")
        results = _score_folders(benchmark, reading.samples, out, judge)
        return {"benchmark": accounting, "official": results}

    return benchmark.name, reading.samples, score


def _score_folders(
    benchmark: "Benchmark", samples: "list[Sample]", out: Path, at: JudgeAt | None
) -> dict[str, Any]:
    """``official.json`` beside each evaluation's predictions."""
    from observe_r1.records import write_json

    found = {}
    with ExitStack() as opened:
        client = opened.enter_context(_client(at)) if at and benchmark.needs_judge else None
        for folder in (benchmark.name, f"{benchmark.name}-greedy"):
            path = out / "eval" / folder
            if (path / "predictions.jsonl").exists():
                found[folder] = _score_folder(benchmark, samples, path, client)
                write_json(path / "official.json", found[folder])
    return found


def _client(at: JudgeAt) -> "EndpointClient":
    from observe_r1.endpoints import EndpointClient

    return EndpointClient([at.url], model=at.model, api_key=os.environ.get(at.key_variable))


def _score_folder(
    benchmark: "Benchmark", samples: "list[Sample]", path: Path, client: "EndpointClient | None"
) -> dict[str, Any]:
    from observe_r1.errors import EngineError
    from observe_r1.eval.benchmarks.judge import JUDGED, ServedJudge
    from observe_r1.eval.benchmarks.scoring import score_official
    from observe_r1.records import read_rows

    judge = ServedJudge(benchmark, client, path / JUDGED) if client else None
    try:
        official = score_official(benchmark, samples, read_rows(path / "predictions.jsonl"), judge)
    except EngineError as error:
        raise EngineError(
            f"the judge failed. {error} Every answer is in {path}; the same command goes on with "
            "what is not judged yet."
        ) from error
    _print_official(benchmark, path.name, official, judge)
    asked = {"model": judge.model, "unclear": judge.num_unclear} if judge else None
    return {**asdict(official), "judge": asked}


def _print_official(
    benchmark: "Benchmark", folder: str, official: "Official", judge: Any | None
) -> None:
    figure = "-" if official.figure is None else f"{100 * official.figure:.1f} %"
    by = f", {judge.model}" if judge else ""
    say(f"{folder}: {benchmark.title}'s own number {figure} ({official.rule}{by})")
    if judge is not None and judge.num_unclear:
        say(f"  {judge.num_unclear} replies of the judge could not be read and count as wrong")
    if official.rule.startswith("rule extraction"):
        say("  with --judge URL a language model reads the answers, as published")
