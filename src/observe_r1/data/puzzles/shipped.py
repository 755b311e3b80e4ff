"""``puzzles`` as a data set: the built-in training ladder, and questions kept for measuring.

The pictures are not shipped: an item is a pure function of its place in a stream. What is shipped,
in ``assets/puzzles.json``, is the built-in model's probe of the first items of the training stream:

    {"seed": 1, "rollouts": 8, "correct_length_p25": 61.0, "items": [[0.375, 84.1], ...]}

one pair (solve rate, mean length in tokens) an item, in stream order.
"""

import itertools
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from observe_r1.data.difficulty import level_of
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.puzzles.base import Family
from observe_r1.data.puzzles.split import stream
from observe_r1.errors import DataError
from observe_r1.types import Sample

_PROBE = Path(__file__).parents[2] / "assets" / "puzzles.json"

HELD_OUT_SEED = 900
"""Seed of the questions that measure; the split keeps them apart from every training stream."""
_GIVE_UP = 2_000
"""Items of a stream without one that is new: then the families have no more."""


def training_stream(families: list[Family], seed: int, count: int) -> list[Sample]:
    """The first ``count`` puzzles of a training stream, not probed."""
    return [item.sample() for item in itertools.islice(stream(families, seed, "train"), count)]


def held_out(
    families: list[Family], count: int, levels: Collection[int] = (), seed: int = HELD_OUT_SEED
) -> list[Sample]:
    """Different puzzles that nothing is ever trained on, of all levels or of those named."""
    samples: dict[tuple[str, tuple[bytes, ...]], Sample] = {}
    in_vain = 0
    for item in stream(families, seed, "held_out") if count else ():
        if not levels or item.level in levels:
            sample = item.sample()
            if (content := (sample.question, sample.images)) not in samples:
                samples[content], in_vain = sample, 0
        if len(samples) == count:
            break
        in_vain += 1
        if in_vain == _GIVE_UP:
            raise DataError(_too_few(families, levels, len(samples), count))
    return list(samples.values())


def _too_few(families: list[Family], levels: Collection[int], found: int, count: int) -> str:
    names = ", ".join(family.name for family in families)
    word = "level" if len(levels) == 1 else "levels"
    at = f" at {word} {', '.join(map(str, sorted(levels)))}" if levels else ""
    return (
        f"{count:,} different held-out puzzles of {names}{at} were asked for and there are only "
        f"{found:,}: small families repeat themselves. Ask for fewer, for more levels, or for more "
        "families."
    )


def builtin(families: list[Family]) -> list[Sample]:
    """The training ladder of the built-in model: probed puzzles, from easy to hard."""
    probe = shipped_probe()
    rollouts = probe["rollouts"]
    samples = training_stream(families, probe["seed"], len(probe["items"]))
    probed = [
        replace(
            sample,
            solve_rate=solve_rate,
            complexity=length,
            level=level_of(round(solve_rate * rollouts), rollouts),
        )
        for sample, (solve_rate, length) in zip(samples, probe["items"], strict=True)
    ]
    # Golds are right by construction, so what was never solved needs no review.
    ladder = build_ladder(probed, None, LadderConfig(unsolved="keep", easy_cut=0.0))
    return list(ladder.samples(probed))


def shipped_probe() -> dict[str, Any]:
    if not _PROBE.exists():
        raise DataError("The probe of the built-in puzzles is not part of this installation.")
    return json.loads(_PROBE.read_text())
