"""What ``--data`` names: a data folder, or the built-in puzzles."""

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from observe_r1.config.questions import PUZZLES, Questions
from observe_r1.data.store import SampleSet, read_samples
from observe_r1.errors import ConfigError, DataError
from observe_r1.records import read_json
from observe_r1.types import Sample

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


def choose_questions(wanted: Questions, data: str) -> Sequence[Sample]:
    """The questions a stage asks; ``data`` is the run's.

    Example:
        choose_questions(Questions(families=("counting",), count=100), "puzzles")
    """
    if wanted.is_everything:
        return load_questions(data)
    if wanted.stream is not None:
        return _fresh_puzzles(wanted)
    source = wanted.source or data
    found = load_questions(source)
    places = [i for i, known in enumerate(_known(found)) if _is_wanted(wanted, *known)]
    if not places:
        asked = wanted.model_dump(mode="json", exclude_defaults=True)
        raise DataError(
            f"none of the {len(found)} questions of {source} fits {asked}. {_way_out(found)}"
        )
    count = min(wanted.count or len(places), len(places))
    places = [places[i * len(places) // count] for i in range(count)]
    return found.take(places) if isinstance(found, SampleSet) else [found[i] for i in places]


def _way_out(found: Sequence[Sample]) -> str:
    if any(rate is not None for _, _, rate in _known(found)):
        return "Ask wider."
    return (
        "None of them has a solve rate: measure it with 'observe-r1 data build', or 'data probe' "
        "and 'data ladder', and train on that ladder; or ask without solve_rate."
    )


def _known(found: Sequence[Sample]) -> Iterator[tuple[str, str | None, float | None]]:
    """Id, family and solve rate of every question, without touching a stored picture."""
    if isinstance(found, SampleSet):
        columns = (found.column(name) for name in ("id", "family", "solve_rate"))
        for sample_id, family, rate in zip(*columns, strict=True):
            yield sample_id, family, None if math.isnan(rate) else float(rate)
        return
    for sample in found:
        yield sample.id, sample.family, sample.solve_rate


def _is_wanted(
    wanted: Questions, sample_id: str, family: str | None, solve_rate: float | None
) -> bool:
    if wanted.families and family not in wanted.families:
        return False
    if wanted.puzzle_levels and puzzle_level(sample_id) not in wanted.puzzle_levels:
        return False
    if wanted.solve_rate == (0.0, 1.0):
        return True
    low, high = wanted.solve_rate
    return solve_rate is not None and low <= solve_rate <= high


PUZZLE_ID = re.compile(
    r"puzzles-(?P<family>.+?)-(?P<level>\d+)-(?P<seed>\d+)-(?P<index>\d+)(?:-(?P<tag>[a-z0-9-]+))?"
)
"""What the id of a puzzle says of its place in the streams."""


def puzzle_level(sample_id: str) -> int | None:
    """The level a puzzle was made at; None for other questions."""
    found = PUZZLE_ID.fullmatch(sample_id)
    return int(found["level"]) if found else None


def _fresh_puzzles(wanted: Questions) -> list[Sample]:
    """The first puzzles of a training stream at the wanted levels."""
    from observe_r1.data.puzzles import MIX, get_family
    from observe_r1.data.puzzles.split import stream

    families = [get_family(name) for name in wanted.families or MIX]
    highest = max(len(family.levels) for family in families)
    levels = set(wanted.puzzle_levels or range(highest))
    if not levels & set(range(highest)):
        raise ConfigError(
            f"questions.puzzle_levels is {sorted(levels)}, but these families have levels 0 to "
            f"{highest - 1}."
        )
    assert wanted.stream is not None and wanted.count is not None  # checked where they were set
    items = (i for i in stream(families, wanted.stream, "train") if i.level in levels)
    return [item.sample() for item in itertools.islice(items, wanted.count)]


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
