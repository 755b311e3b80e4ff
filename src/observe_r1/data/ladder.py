"""From probed samples to a ladder: what is left out, what is held back, and the order of the rest.

    probed samples
      │ drop   answered directly, dropped in review, always solved with a short chain
      │ hold   never solved: its gold may be wrong, so a person looks first
      │ sort   by level, then complexity
      │ mix    each rung from its own level and four neighbours, sampled to the target size
      ▼
    rung after rung; within a rung the levels are spread evenly, each from short to long

A pure function of (samples, probe, config, seed): the order of the input does not matter.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.data.difficulty import NUM_LEVELS, Difficulty
from observe_r1.data.mixing import Mixing, allot, mixing_matrix
from observe_r1.errors import DataError
from observe_r1.types import Sample

UNSOLVED_LEVEL = NUM_LEVELS - 1


class LadderConfig(Config):
    """How a ladder is made of probed samples.

    Example:
        LadderConfig(size=20_000, easy_cut=40.0)
    """

    mixing: Mixing = "paper"
    """How rungs borrow from their neighbours: the paper's shares, by level size, or not at all."""

    size: int | None = Field(default=None, ge=1)
    """Samples in the ladder; all that pass the filters when not given or when there are fewer."""

    easy_cut: float | None = Field(default=None, ge=0)
    """Always-solved samples with a mean chain shorter than this many tokens are dropped.
    Not given: the median of the always-solved ones, so that the shorter half goes."""

    unsolved: Literal["hold", "keep", "drop"] = "hold"
    """Never-solved samples: held for review, kept (golds right by construction), or dropped."""


Decision = Literal["keep", "fix", "drop"]
"""What a person decided in ``data review``."""

OUTCOMES = (
    "in the ladder",
    "not sampled: the ladder is smaller than what is left",
    "held for review: never solved",
    "dropped: always solved with a short chain",
    "dropped: never solved",
    "dropped: answered directly",
    "dropped in review",
    "left out: not probed",
)
IN, UNSAMPLED, HELD, EASY, UNSOLVED, DIRECT, REVIEWED, UNPROBED = range(len(OUTCOMES))


@dataclass(frozen=True, slots=True)
class Ladder:
    """The order of training and what became of every sample.

    Example:
        ladder.order = [4, 0, 7, ...]   # indices into the samples
        ladder.rungs = [0, 0, 1, ...]   # of the same samples
    """

    order: np.ndarray
    """Index of each sample of the ladder, in training order."""
    rungs: np.ndarray
    levels: np.ndarray
    solve_rates: np.ndarray
    complexities: np.ndarray
    outcomes: np.ndarray
    """[all samples] which of ``OUTCOMES`` each one met."""
    easy_cut: float
    wanted_mix: np.ndarray
    """[rung, level] shares asked for."""
    counts: np.ndarray
    """[rung, level] samples."""

    def __len__(self) -> int:
        return len(self.order)

    def samples(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """The samples in ladder order, with solve rate, complexity, level, rung and position."""
        take = getattr(samples, "take", None)
        ordered = take(self.order) if take else (samples[int(index)] for index in self.order)
        for position, sample in enumerate(ordered):
            yield replace(
                sample,
                solve_rate=float(self.solve_rates[position]),
                complexity=float(self.complexities[position]),
                level=int(self.levels[position]),
                rung=int(self.rungs[position]),
                position=position,
            )

    def table(self) -> dict[str, int]:
        """Number of samples by outcome; sums to the number of samples given."""
        counts = np.bincount(self.outcomes, minlength=len(OUTCOMES))
        return {name: int(counts[code]) for code, name in enumerate(OUTCOMES)}


def build_ladder(
    samples: Sequence[Sample],
    probe: Mapping[str, Difficulty] | None = None,
    config: LadderConfig | None = None,
    *,
    seed: int = 0,
    answered_directly: Collection[str] = (),
    decisions: Mapping[str, Decision] | None = None,
) -> Ladder:
    """Arrange samples by what the probe says; without a probe, by the levels the samples carry.

    Example:
        ladder = build_ladder(samples, probe, LadderConfig(size=20_000), seed=42)
        write_samples("runs/ladder", ladder.samples(samples))
    """
    config = config or LadderConfig()
    ids, solve_rates, complexities, levels = _measured(samples, probe)
    outcomes = np.full(len(ids), IN, dtype=np.int8)
    outcomes[np.isnan(levels)] = UNPROBED
    _require_probed(outcomes, len(ids))
    kept = _apply_decisions(ids, outcomes, decisions or {})
    if answered_directly:
        outcomes[np.isin(ids, list(answered_directly)) & ~kept] = DIRECT
    cut = _drop_easy(levels, complexities, outcomes, config.easy_cut)
    if config.unsolved != "keep":
        unsolved = (levels == UNSOLVED_LEVEL) & (outcomes == IN) & ~kept
        outcomes[unsolved] = HELD if config.unsolved == "hold" else UNSOLVED

    usable = np.flatnonzero(outcomes == IN)
    usable = usable[np.lexsort((ids[usable], complexities[usable], levels[usable]))]
    available = np.bincount(levels[usable].astype(np.int64), minlength=NUM_LEVELS)
    counts = allot(available, config.mixing, min(config.size or len(usable), len(usable)))
    chosen, rungs = _arrange(levels[usable].astype(np.int64), counts, np.random.default_rng(seed))
    order = usable[chosen]
    outcomes[usable] = UNSAMPLED
    outcomes[order] = IN
    return Ladder(
        order=order,
        rungs=rungs,
        levels=levels[order].astype(np.int64),
        solve_rates=solve_rates[order],
        complexities=complexities[order],
        outcomes=outcomes,
        easy_cut=cut,
        wanted_mix=mixing_matrix(config.mixing, available),
        counts=counts,
    )


def _measured(
    samples: Sequence[Sample], probe: Mapping[str, Difficulty] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, solve rates, complexities and levels as arrays; NaN where unknown."""
    ids = plain_column(samples, "id").astype(str)
    if probe is None:
        numbers = [plain_column(samples, n) for n in ("solve_rate", "complexity", "level")]
        rates, lengths, levels = (np.array(column, dtype=float) for column in numbers)
        return ids, rates, lengths, levels
    numbers = np.full((3, len(ids)), np.nan)
    for index, sample_id in enumerate(ids.tolist()):
        found = probe.get(sample_id)
        if found is not None:
            numbers[:, index] = found.solve_rate, found.complexity, found.level
    return ids, numbers[0], numbers[1], numbers[2]


def plain_column(samples: Sequence[Sample], name: str) -> np.ndarray:
    """One field of every sample, from the shards directly where the samples lie in some."""
    column: Any = getattr(samples, "column", None)
    if column is not None:
        return column(name)
    return np.array([getattr(sample, name) for sample in samples], dtype=object)


def _require_probed(outcomes: np.ndarray, num_samples: int) -> None:
    if num_samples and not np.any(outcomes != UNPROBED):
        raise DataError(
            f"None of the {num_samples} samples has been probed, so there is nothing to order them "
            "by. Run 'observe-r1 data probe DIR --model M' first."
        )


def _apply_decisions(
    ids: np.ndarray, outcomes: np.ndarray, decisions: Mapping[str, Decision]
) -> np.ndarray:
    """Mark what a person dropped; returns which samples a person kept or fixed."""
    kept = np.zeros(len(ids), dtype=bool)
    if decisions:
        decided = np.array([decisions.get(sample_id, "") for sample_id in ids.tolist()])
        outcomes[decided == "drop"] = REVIEWED
        kept = (decided == "keep") | (decided == "fix")
    return kept


def _drop_easy(
    levels: np.ndarray, complexities: np.ndarray, outcomes: np.ndarray, cut: float | None
) -> float:
    """Drop always-solved samples with short chains; returns the cut that was used."""
    easy = (levels == 0) & (outcomes == IN)
    if cut is None:
        cut = float(np.median(complexities[easy])) if easy.any() else 0.0
    outcomes[easy & (complexities < cut)] = EASY
    return cut


def _arrange(
    levels: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in training order, and their rungs, of samples sorted by (level, complexity).

    Which samples of a level go to which rung is drawn at random, so that every rung sees the whole
    range of lengths. The k-th of n samples of a level in a rung sits at (k + u) / n of the rung.
    """
    chosen, rungs, places = [], [], []
    for level in range(NUM_LEVELS):
        members = np.flatnonzero(levels == level)
        labels = np.full(len(members), -1)
        taken = np.repeat(np.arange(NUM_LEVELS), counts[:, level])
        labels[: len(taken)] = taken
        labels = rng.permutation(labels)
        for rung in np.flatnonzero(counts[:, level]):
            picked = members[labels == rung]
            chosen.append(picked)
            rungs.append(np.full(len(picked), rung))
            places.append((np.arange(len(picked)) + rng.random(len(picked))) / len(picked))
    if not chosen:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    all_rungs = np.concatenate(rungs)
    order = np.lexsort((np.concatenate(places), all_rungs))
    return np.concatenate(chosen)[order], all_rungs[order]
