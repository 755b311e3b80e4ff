"""A benchmark's published files → questions, every row accounted for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from observe_r1.data.checking import checked_gold, may_count_in_pixels, place_images
from observe_r1.data.open_source import open_source
from observe_r1.data.sources.base import BadRow, RawQuestion, read_raw
from observe_r1.data.sources.files import FoundRow, find_rows
from observe_r1.data.sources.pictures import Pictures
from observe_r1.errors import DataError
from observe_r1.eval.benchmarks.base import Benchmark
from observe_r1.types import Sample

MAX_PIXELS, MAX_BYTES, MAX_ANSWER_WORDS = 100_000_000, 100_000_000, 50


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files held.

    Example:
        Reading(samples=[…], num_rows=304, left_out={"image missing": 2})
    """

    samples: list[Sample]
    num_rows: int
    left_out: Mapping[str, int]
    """Rows that cannot be asked, by reason: they are in no average."""


def read_benchmark(
    benchmark: Benchmark,
    source: str | None,
    limit: int | None = None,
    shrink_images_to: int | None = None,
) -> Reading:
    """The questions of a local file or folder, or of the hub."""
    pictures = Pictures(max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES, shrink_to=shrink_images_to)
    samples: dict[str, Sample] = {}
    left_out: Counter[str] = Counter()
    num_rows = 0
    for found in _rows(benchmark, source):
        if limit is not None and num_rows >= limit:
            break
        num_rows += 1
        try:
            for sample in _read_row(benchmark, found, pictures):
                if sample.id in samples:
                    raise BadRow("id repeated", sample.id)
                samples[sample.id] = sample
        except BadRow as bad:
            left_out[bad.reason] += 1
    if not samples:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.items())
        raise DataError(
            f"none of the {num_rows} rows of {source or benchmark.hub} can be asked: "
            f"{reasons or 'there are none'}. {benchmark.title} is published as {benchmark.hub}."
        )
    return Reading(list(samples.values()), num_rows, dict(left_out))


def _rows(benchmark: Benchmark, source: str | None) -> Iterator[FoundRow]:
    if source is not None and Path(source).exists():
        return find_rows(Path(source), benchmark.adapter.records)
    rows, _ = open_source(source or benchmark.hub, "table", ["question=question", "answer=answer"])
    return rows


def _read_row(benchmark: Benchmark, found: FoundRow, pictures: Pictures) -> list[Sample]:
    if isinstance(found.values, BadRow):
        raise found.values
    _require_columns(benchmark, found)
    row = benchmark.prepare(found.values)
    sample = _to_sample(benchmark, read_raw(benchmark.adapter, row), found, pictures)
    return benchmark.expand(replace(sample, metadata=dict(benchmark.facts(row))))


def _require_columns(benchmark: Benchmark, found: FoundRow) -> None:
    """Another version of the file ends the reading: its rows would all be left out, or misread."""
    assert isinstance(found.values, Mapping)
    missing = [name for name in benchmark.columns if name not in found.values]
    if missing:
        there = ", ".join(sorted(map(str, found.values))[:20])
        raise DataError(
            f"{found.place} has no column {', '.join(missing)}: it is not the version of "
            f"{benchmark.title} that is understood here (published as {benchmark.hub}). "
            f"Its columns are: {there}."
        )


def _to_sample(
    benchmark: Benchmark, raw: RawQuestion, found: FoundRow, pictures: Pictures
) -> Sample:
    question, options, order = place_images(raw.question, raw.options, len(raw.images))
    answer, kind = checked_gold(raw.answer, options, raw.kind, MAX_ANSWER_WORDS)
    in_pixels = may_count_in_pixels(kind, answer, options)
    images = [
        pictures.load(reference, found.folders, may_shrink=not in_pixels)
        for reference in raw.images
    ]
    return Sample(
        id=f"{benchmark.name}-{raw.id}",
        question=question,
        answer=answer,
        kind=kind,
        images=tuple(images[index] for index in order),
        options=options,
        source=benchmark.name,
        family=raw.family,
    )
