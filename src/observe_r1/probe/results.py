"""What a probe says of every sample, summed up from its store."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from observe_r1.data.difficulty import Difficulty, ProbedCompletion, measure_difficulty
from observe_r1.errors import DataError
from observe_r1.probe.store import ProbeRow, read_probe
from observe_r1.records import to_line, write_atomic

DIFFICULTY = "difficulty.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResults:
    """Difficulty by sample id, and the samples that were answered directly."""

    difficulty: Mapping[str, Difficulty]
    answered_directly: frozenset[str]
    asked: Mapping[str, str]
    """Hash of each question as it was probed, where that was kept."""
    refused: Mapping[str, str]
    """A server's words by the id of each sample whose rollouts, or more of them, it refused."""


def read_results(
    folder: Path, *, correct_row: Callable[[ProbeRow], ProbeRow] | None = None
) -> ProbeResults:
    """Sum up a probe folder. ``correct_row`` may grade rows anew, where golds have been corrected.

    Example:
        results = read_results(Path("data/mine/probe"))
        ladder = build_ladder(samples, results.difficulty,
                              answered_directly=results.answered_directly)
    """
    if not (folder / "rollouts.jsonl").exists():
        raise DataError(
            f"{folder} holds no probe. Run 'observe-r1 data probe DIR --model M' first."
        )
    direct: set[str] = set()
    asked: dict[str, str] = {}
    refused: dict[str, str] = {}
    completions: dict[str, list[ProbedCompletion]] = {}
    for row in read_probe(folder):
        row = correct_row(row) if correct_row else row
        if row.asked and row.completions:
            asked[row.sample_id] = row.asked
        if row.stage == "direct":
            if any(completion.correct for completion in row.completions):
                direct.add(row.sample_id)
        else:
            # The texts are the bulk of a row, and difficulty has no use for them.
            light = [_without_text(completion) for completion in row.completions]
            completions.setdefault(row.sample_id, []).extend(light)
            refused.pop(row.sample_id, None)
            if row.refused:
                refused[row.sample_id] = row.refused
    return ProbeResults(
        difficulty={i: measure_difficulty(i, found) for i, found in completions.items() if found},
        answered_directly=frozenset(direct),
        asked=asked,
        refused=refused,
    )


def write_difficulty(folder: Path, results: ProbeResults) -> Path:
    """One line a sample beside its rollouts: solve rate with its interval, lengths, entropy.

    Example:
        {"sample_id": "puzzles-counting-7", "num_rollouts": 8, "num_correct": 5,
         "solve_rate": 0.625, "low": 0.3, "high": 0.88, "level": 3, "complexity": 41.5,
         "correct_complexity": 38.2, "answer_entropy": 0.95, "truncated_share": 0.0}
    """
    path = folder / DIFFICULTY
    write_atomic(path, "".join(to_line(asdict(d)) for d in results.difficulty.values()))
    return path


def _without_text(completion: ProbedCompletion) -> ProbedCompletion:
    return ProbedCompletion(
        text="",
        answer=completion.answer,
        correct=completion.correct,
        num_tokens=completion.num_tokens,
        truncated=completion.truncated,
    )
