"""A benchmark for ``observe-r1 eval``: its questions, and its own number beside ours."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.cli.console import complain, say

if TYPE_CHECKING:
    from observe_r1.eval.benchmarks.base import Benchmark, Official
    from observe_r1.types import Sample


def open_benchmark(
    name: str, source: str | None, limit: int | None
) -> "tuple[str, list[Sample], Callable[[Path, str | None], dict[str, Any]]]":
    """The benchmark's name, its questions, and what scores an evaluation's folder its own way."""
    from observe_r1.eval.benchmarks import get_benchmark
    from observe_r1.eval.benchmarks.reading import read_benchmark

    benchmark = get_benchmark(name)
    reading = read_benchmark(benchmark, source, limit)
    say(f"{benchmark.title}: {reading.num_rows} rows, adapter {benchmark.adapter.status}")
    for reason, count in reading.left_out.items():
        complain(f"WARNING: {count} rows are left out of every number: {reason}")
    accounting = {"num_rows": reading.num_rows, "left_out": dict(reading.left_out)}

    def score(out: Path, judge_url: str | None) -> dict[str, Any]:
        found = _score_folders(benchmark, reading.samples, out, judge_url)
        for folder, official in found.items():
            _print_official(benchmark, folder, official)
        results = {folder: asdict(official) for folder, official in found.items()}
        return {"benchmark": accounting, "official": results}

    return benchmark.name, reading.samples, score


def _score_folders(
    benchmark: "Benchmark", samples: "list[Sample]", out: Path, judge_url: str | None
) -> "dict[str, Official]":
    from observe_r1.eval.benchmarks.judge import EndpointJudge
    from observe_r1.eval.benchmarks.scoring import score_official
    from observe_r1.records import read_rows, write_json

    judge = EndpointJudge(judge_url) if judge_url and benchmark.needs_judge else None
    found = {}
    for folder in (benchmark.name, f"{benchmark.name}-greedy"):
        path = out / "eval" / folder / "predictions.jsonl"
        if path.exists():
            found[folder] = score_official(benchmark, samples, read_rows(path), judge)
            write_json(path.with_name("official.json"), asdict(found[folder]))
    return found


def _print_official(benchmark: "Benchmark", folder: str, official: "Official") -> None:
    figure = "-" if official.figure is None else f"{100 * official.figure:.1f} %"
    say(f"{folder}: {benchmark.title}'s own number {figure} ({official.rule})")
    if official.rule.startswith("rule extraction"):
        say("  with --judge URL a language model reads the answers, as published")
