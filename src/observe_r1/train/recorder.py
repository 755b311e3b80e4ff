"""Writes the run folder while the run goes on: rows are appended, nothing is rewritten.

metrics.jsonl     a row a step
rollouts.jsonl    a row a completion, rejected groups included
samples.jsonl     a row a sample, when it is first seen
images/           its pictures, named by content
discarded-N.jsonl rows set aside when run number N + 1 went on from an older checkpoint
discarded-N/      held-out measurements (eval/step-000040) of weights that were given up with them
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from observe_r1.records import IMAGES, append_rows, read_rows, sample_row
from observe_r1.types import WeightedGroup

METRICS, ROLLOUTS, SAMPLES = "metrics.jsonl", "rollouts.jsonl", "samples.jsonl"
GROWING = (METRICS, ROLLOUTS, SAMPLES)
MEASURED = re.compile(r"step-(\d+)(-greedy)?")
"""Folders under eval/ that are of a step; others are not made while training."""


class Recorder:
    """One run folder; other processes than the first hold one that writes nothing."""

    def __init__(self, folder: Path, *, enabled: bool = True) -> None:
        self.folder = folder
        self.enabled = enabled
        self._seen: set[str] = set()
        if enabled:
            (folder / IMAGES).mkdir(parents=True, exist_ok=True)

    def write(
        self, step: int, groups: Sequence[WeightedGroup], metrics: Mapping[str, float]
    ) -> None:
        """Everything about one step; the metrics row comes last and marks the step complete."""
        if not self.enabled:
            return
        new = {g.scored.sample.id: g.scored.sample for g in groups}
        fresh = [sample for sample_id, sample in new.items() if sample_id not in self._seen]
        append_rows(self.folder / SAMPLES, [sample_row(sample, self.folder) for sample in fresh])
        self._seen.update(sample.id for sample in fresh)
        append_rows(self.folder / ROLLOUTS, rollout_rows(step, groups))
        append_rows(self.folder / METRICS, [{"step": step, **metrics}])

    def sizes(self) -> dict[str, int]:
        """How long each growing file is: what a checkpoint remembers."""
        return {name: _size(self.folder / name) for name in GROWING}

    def rewind(self, sizes: Mapping[str, int]) -> None:
        """Go back to what a checkpoint remembers; what came after is set aside, never doubled."""
        if not self.enabled:
            return
        too_long = [n for n in GROWING if _size(self.folder / n) > sizes.get(n, 0)]
        aside = [row for n in too_long for row in _past(self.folder / n, sizes.get(n, 0))]
        number = 1 + len({path.stem for path in self.folder.glob("discarded-*")})
        append_rows(self.folder / f"discarded-{number}.jsonl", aside)
        for name in too_long:  # only now: a kill in between sets rows aside twice and loses none
            os.truncate(self.folder / name, sizes.get(name, 0))
        for measured in self._measured_after(self._last_step()):
            (self.folder / f"discarded-{number}").mkdir(exist_ok=True)
            os.replace(measured, self.folder / f"discarded-{number}" / measured.name)
        if (self.folder / SAMPLES).exists():
            self._seen = {row["sample_id"] for row in read_rows(self.folder / SAMPLES)}

    def _last_step(self) -> int:
        """Of the rows that stay: the checkpoint's, because a step is saved after its row."""
        path = self.folder / METRICS
        return max((row["step"] for row in read_rows(path)), default=0) if path.exists() else 0

    def _measured_after(self, step: int) -> list[Path]:
        """The same step comes again with other weights, whose answers are not to be mixed in."""
        found = [(path, MEASURED.fullmatch(path.name)) for path in self.folder.glob("eval/*")]
        return [path for path, name in found if name and int(name[1]) > step]


def rollout_rows(step: int, groups: Sequence[WeightedGroup]) -> Iterator[dict[str, Any]]:
    """A row a completion."""
    for number, group in enumerate(groups):
        scored = group.scored
        triples = zip(
            scored.rollout.completions_G, scored.scores_G, group.advantages_G, strict=True
        )
        for index, (completion, score, advantage) in enumerate(triples):
            yield {
                "step": step,
                "sample_id": scored.sample.id,
                "group": number,
                "index": index,
                "text": completion.text,
                "num_tokens": completion.num_tokens,
                "truncated": completion.truncated,
                "correct": score.correct,
                "rewards": dict(score.rewards),
                "reward": score.reward,
                "bonus": score.bonus,
                "solve_rate": scored.solve_rate,
                "weight": group.weight,
                "advantage": advantage,
                "admitted": group.admitted,
            }


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _past(path: Path, size: int) -> Iterator[dict[str, Any]]:
    """Everything past ``size``, as rows that name the file."""
    with open(path, "rb") as file:
        file.seek(size)
        tail = file.read()
    yield from ({"file": path.name, **row} for row in _parse(tail))


def _parse(tail: bytes) -> Iterator[dict[str, Any]]:
    """Whole lines only: a line torn by a kill is worth nothing."""
    for line in tail.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield json.loads(line)
