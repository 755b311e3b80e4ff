"""A ladder on disk: its samples in order, how it was built, what was left out, and the card."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.data.card import write_card
from observe_r1.data.ladder import HELD, IN, OUTCOMES, Ladder, LadderConfig, plain_column
from observe_r1.data.store import write_samples
from observe_r1.records import to_line, write_atomic, write_json
from observe_r1.types import Sample


def write_ladder(
    folder: Path,
    samples: Sequence[Sample],
    ladder: Ladder,
    config: LadderConfig,
    *,
    seed: int,
    source: str = "",
    probe: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a ladder of ``samples`` as a data folder; returns the path of its card.

    Example:
        ladder = build_ladder(samples, results.difficulty, config, seed=42)
        write_ladder(Path("data/ladder"), samples, ladder, config, seed=42)
    """
    write_samples(folder, ladder.samples(samples), overwrite=overwrite)
    lines = "".join(to_line(row) for row in _left_out(samples, ladder))
    write_atomic(folder / "rejected.jsonl", lines)
    write_json(
        folder / "ladder.json",
        {
            "made_by": "data ladder",
            "source": source,
            "probe": dict(probe) if probe else None,
            "seed": seed,
            "config": config.model_dump(mode="json"),
            "num_samples": len(ladder.outcomes),
            "outcomes": ladder.table(),
            "easy_cut": ladder.easy_cut,
            "samples_by_rung_and_level": ladder.counts.tolist(),
            "wanted_mix": np.round(ladder.wanted_mix, 4).tolist(),
            "realised_mix": np.round(realised_mix(ladder), 4).tolist(),
        },
    )
    return write_card(folder)


def realised_mix(ladder: Ladder) -> np.ndarray:
    """[rung, level] shares of the ladder as it is; zero rows for empty rungs."""
    sums = ladder.counts.sum(axis=1, keepdims=True)
    return ladder.counts / np.maximum(sums, 1)


def _left_out(samples: Sequence[Sample], ladder: Ladder) -> Iterator[dict[str, Any]]:
    ids = plain_column(samples, "id")
    for index in np.flatnonzero(ladder.outcomes != IN):
        outcome = int(ladder.outcomes[index])
        yield {"id": str(ids[index]), "reason": OUTCOMES[outcome], "held": outcome == HELD}
