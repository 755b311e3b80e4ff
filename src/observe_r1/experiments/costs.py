"""What a run cost, stage by stage: tokens, rollouts, time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.run import RunConfig
from observe_r1.config.stages import Stage, TeachStage
from observe_r1.records import read_rows
from observe_r1.stages.handover import stage_folders
from observe_r1.stages.pipeline import load_run_config
from observe_r1.train.purse import GENERATED, UPDATED

METRICS = "metrics.jsonl"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Sums over a run.

    Example:
        Costs(generated=310_000, updated=640_000, rollouts=6400, seconds=212.0, taught=0)
    """

    generated: float
    """Tokens sampled from the model that is trained."""
    updated: float
    """Tokens of the forward passes of updates."""
    rollouts: float
    """Responses sampled from the model that is trained."""
    seconds: float
    """Of all steps, on the clock."""
    taught: float
    """Tokens that a teacher sampled."""


def stage_rows(out: Path) -> Iterator[tuple[Stage, list[Row]]]:
    """Every stage of a run that has one, with the rows of its metrics."""
    for folder, stage in stage_folders(run_of(out), out):
        path = folder / METRICS
        yield stage, list(read_rows(path)) if path.exists() else []


def run_of(out: Path) -> RunConfig:
    return load_run_config(out)


def costs_of(out: Path) -> Costs:
    """What a run cost, from the metrics in its folder."""
    generated = updated = rollouts = seconds = taught = 0.0
    for stage, rows in stage_rows(out):
        for row in rows:
            seconds += row.get("timing/step", 0.0)
            if isinstance(stage, TeachStage):
                taught += row.get(GENERATED, 0.0)
                continue
            generated += row.get(GENERATED, 0.0)
            updated += row.get(UPDATED, 0.0)
            if row.get(GENERATED) and row.get("length"):
                rollouts += row[GENERATED] / row["length"]
    return Costs(
        generated=generated, updated=updated, rollouts=rollouts, seconds=seconds, taught=taught
    )
