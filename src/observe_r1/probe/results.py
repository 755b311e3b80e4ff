"""What a probe says of every sample, summed up from its store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from observe_r1.data.difficulty import Difficulty, ProbedCompletion, measure_difficulty
from observe_r1.errors import DataError
from observe_r1.probe.store import ProbeRow, read_probe


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResults:
    """Difficulty by sample id, and the samples that were answered directly."""

    difficulty: Mapping[str, Difficulty]
    answered_directly: frozenset[str]


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
    completions: dict[str, list[ProbedCompletion]] = {}
    for row in read_probe(folder):
        row = correct_row(row) if correct_row else row
        if row.stage == "direct":
            if row.completions[0].correct:
                direct.add(row.sample_id)
        else:
            # The texts are the bulk of a row, and difficulty has no use for them.
            light = [_without_text(completion) for completion in row.completions]
            completions.setdefault(row.sample_id, []).extend(light)
    measured = {i: measure_difficulty(i, found) for i, found in completions.items()}
    return ProbeResults(difficulty=measured, answered_directly=frozenset(direct))


def _without_text(completion: ProbedCompletion) -> ProbedCompletion:
    return ProbedCompletion(
        text="",
        answer=completion.answer,
        correct=completion.correct,
        num_tokens=completion.num_tokens,
        truncated=completion.truncated,
    )
