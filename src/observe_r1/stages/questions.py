"""What ``--data`` names: a data folder, or the built-in puzzles."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from observe_r1.data.store import read_samples
from observe_r1.errors import DataError
from observe_r1.records import read_json
from observe_r1.types import Sample

PUZZLES = "puzzles"
NUM_HELD_OUT = 400
"""How many puzzles are measured on when nothing else is said."""


def load_questions(data: str) -> Sequence[Sample]:
    """The samples of a data folder, or of the built-in training set.

    Example:
        load_questions("puzzles")
    """
    if data == PUZZLES:
        from observe_r1.data.puzzles import builtin

        return builtin()
    folder = Path(data)
    if not folder.exists():
        raise DataError(
            f"there is no data folder {data}. Make one with 'observe-r1 data build SRC --as "
            f"ADAPTER --model M --out {data}', or use the built-in data: --data {PUZZLES}."
        )
    return read_samples(folder)


def load_held_out(data: str, count: int | None) -> Sequence[Sample]:
    """Questions to measure on: puzzles that nothing is trained on, or a data folder, of which
    ``count`` are taken evenly."""
    if data == PUZZLES:
        from observe_r1.data.puzzles import held_out

        return held_out(count or NUM_HELD_OUT)
    samples = load_questions(data)
    if count is None or count >= len(samples):
        return samples
    return [samples[place * len(samples) // count] for place in range(count)]


def content_hash(sample: Sample) -> str:
    """Equal for equal pictures, question and options, whatever the id."""
    digest = hashlib.sha256()
    for part in (sample.question, *sample.options):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    for image in sample.images:
        digest.update(hashlib.sha256(image).digest())
    return digest.hexdigest()


def refuse_overlap(held_out: Iterable[Sample], training: Iterable[Sample], data: str) -> None:
    """A question that is trained on measures nothing."""
    wanted = {content_hash(sample): sample.id for sample in held_out}
    shared = sorted(wanted[h] for sample in training if (h := content_hash(sample)) in wanted)
    if shared:
        raise DataError(
            f"{len(shared)} held-out questions are also in {data}, for example {shared[0]}. "
            "Measure on questions that are not trained on."
        )


def correct_length(data: str, percent: int) -> float | None:
    """A percentile of the lengths of the probe's correct completions; None without a probe.

    Read where the ladder was built (``correct_length_p25``), else estimated from what the samples
    carry: the mean length of every sample that was solved at least once.
    """
    recorded = _recorded_probe(data).get(f"correct_length_p{percent}")
    if recorded is not None:
        return float(recorded)
    lengths = sorted(_solved_lengths(load_questions(data)))
    return lengths[percent * len(lengths) // 100] if lengths else None


def _recorded_probe(data: str) -> dict[str, Any]:
    if data == PUZZLES:
        from observe_r1.data.puzzles.shipped import shipped_probe

        return shipped_probe()
    path = Path(data) / "ladder.json"
    return read_json(path) if path.exists() else {}


def _solved_lengths(samples: Any) -> list[float]:
    if hasattr(samples, "column"):
        pairs = zip(samples.column("complexity"), samples.column("solve_rate"), strict=True)
    else:
        pairs = ((s.complexity, s.solve_rate) for s in samples)
    known = [(length, rate) for length, rate in pairs if rate is not None and length is not None]
    return [float(length) for length, rate in known if rate > 0 and not math.isnan(length)]
