"""Training is a probe too: a run's solve rates bring the difficulty of its samples up to date."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from observe_r1.data.difficulty import Difficulty, level_of, solve_rate_interval
from observe_r1.data.ladder import plain_column
from observe_r1.errors import DataError
from observe_r1.records import read_rows
from observe_r1.types import Sample

STORED_ROLLOUTS = 8
"""How many rollouts the stored solve rate counts for beside those of the run."""


def regrade_by_run(
    samples: Sequence[Sample], run: Path, probed: Mapping[str, Difficulty] | None = None
) -> dict[str, Difficulty]:
    """Difficulty of every sample from its probe, or what it carries, and the rollouts of a run.

    A sample that the run did not draw keeps what it had; one without any evidence is left out.

    Example:
        ladder = build_ladder(samples, regrade_by_run(samples, Path("runs/first")))
    """
    known = _stored(samples) if probed is None else {
        i: (d.complexity * d.num_rollouts, d.num_correct, d.num_rollouts)
        for i, d in probed.items()
    }  # fmt: skip
    graded = {}
    for sample_id, seen in _seen_in(run).items():
        before = known.get(sample_id, (0.0, 0, 0))
        known[sample_id] = (before[0] + seen[0], before[1] + seen[1], before[2] + seen[2])
    for sample_id, (lengths, num_correct, num_rollouts) in known.items():
        graded[sample_id] = _difficulty(sample_id, num_correct, num_rollouts, lengths)
    return graded


Evidence = tuple[float, int, int]
"""Total length, correct and all rollouts."""


def _stored(samples: Sequence[Sample]) -> dict[str, Evidence]:
    """What the samples carry: a solve rate of so many rollouts, and their mean length."""
    ids = plain_column(samples, "id")
    rates, lengths = (
        np.array(plain_column(samples, name), dtype=float) for name in ("solve_rate", "complexity")
    )
    found: dict[str, Evidence] = {}
    for index in np.flatnonzero(~np.isnan(rates)):
        length = 0.0 if np.isnan(lengths[index]) else float(lengths[index])
        correct = round(float(rates[index]) * STORED_ROLLOUTS)
        found[str(ids[index])] = (STORED_ROLLOUTS * length, correct, STORED_ROLLOUTS)
    return found


def _seen_in(run: Path) -> Mapping[str, Evidence]:
    path = run / "rollouts.jsonl"
    if not path.exists():
        raise DataError(f"{run} holds no rollouts.jsonl: it is not the folder of a training run.")
    seen: dict[str, Evidence] = defaultdict(lambda: (0.0, 0, 0))
    for row in read_rows(path):
        lengths, correct, total = seen[row["sample_id"]]
        seen[row["sample_id"]] = (
            lengths + row["num_tokens"], correct + bool(row["correct"]), total + 1,
        )  # fmt: skip
    return seen


def _difficulty(sample_id: str, correct: int, rollouts: int, lengths: float) -> Difficulty:
    low, high = solve_rate_interval(correct, rollouts)
    return Difficulty(
        sample_id=str(sample_id),
        num_rollouts=rollouts,
        num_correct=correct,
        solve_rate=correct / rollouts,
        low=low,
        high=high,
        level=level_of(correct, rollouts),
        complexity=lengths / rollouts,
        correct_complexity=None,
        answer_entropy=None,
        truncated_share=None,
    )
