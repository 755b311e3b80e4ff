"""Any source → a data folder, every row accounted for.

    rows ──adapter──▶ raw question ──checks──▶ Sample ──▶ data/train-*.parquet
      │                   │                      │
      └───────────────────┴── BadRow(reason) ────┴──────▶ rejected.jsonl

One row at a time: memory holds a row group, the ids and a hash a question, never the source.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.data.checking import (
    checked_gold,
    checked_metadata,
    checked_text,
    may_count_in_pixels,
    place_images,
)  # fmt: skip
from observe_r1.data.contamination import Fingerprints, Overlap
from observe_r1.data.hold_out import NOTE, ON_BOTH_SIDES, HoldOut
from observe_r1.data.sources.base import Adapter, BadRow, RawQuestion, read_raw
from observe_r1.data.sources.files import FoundRow
from observe_r1.data.sources.pictures import Pictures
from observe_r1.data.store import SampleWriter
from observe_r1.errors import DataError
from observe_r1.records import read_json, to_line, write_atomic, write_json
from observe_r1.types import Sample

TokenCounter = Callable[[Sample], int]


class ImportConfig(Config):
    """What is accepted.

    Example:
        ImportConfig(max_prompt_tokens=4096, special_tokens="split")
    """

    special_tokens: Literal["reject", "split"] = "reject"
    """Rows whose text holds control tokens: rejected, or the token split into plain text."""

    max_image_pixels: int = Field(default=50_000_000, ge=1)
    """Larger pictures are rejected by their header, before they are decoded."""

    shrink_images_to: int | None = Field(default=None, ge=784)
    """Pictures with more pixels are scaled down to so many and stored like that. Where the answer
    is a place in the picture, or several numbers in brackets, they keep their size: it may count in
    their pixels."""

    max_image_bytes: int = Field(default=50_000_000, ge=1)
    """Largest encoded picture."""

    max_prompt_tokens: int = Field(default=8192, ge=1)
    """Longest question with its pictures, in tokens."""

    max_answer_words: int = Field(default=8, ge=1)
    """Longest answer in words that is compared as text; longer ones cannot be checked."""

    overlaps: Literal["exclude", "keep"] = "exclude"
    """Near-duplicates of the benchmarks given: left out, or kept and listed in overlaps.jsonl."""

    metadata: tuple[str, ...] = ()
    """Columns of the source that are kept, for rewards that read ``sample.metadata``."""

    limit: int | None = Field(default=None, ge=1)
    """Stop after so many rows of the source."""

    hold_out: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the questions kept apart to measure on, those about one picture together."""


@dataclass
class ImportReport:
    """What became of every row; the counts add up to ``num_rows``.

    Example:
        report.num_rows == report.accepted + sum(report.rejected.values())
    """

    num_rows: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    """What happened to accepted rows: ids numbered, overlaps kept."""

    def table(self) -> dict[str, int]:
        """Rows by what became of them, accepted first."""
        return {"accepted": self.accepted, **dict(self.rejected.most_common())}


def import_rows(
    rows: Iterable[FoundRow],
    adapter: Adapter,
    out: Path,
    config: ImportConfig | None = None,
    *,
    against: Fingerprints | None = None,
    image_folder: Path | None = None,
    count_tokens: TokenCounter | None = None,
    source: str = "",
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    held_out: Path | None = None,
) -> ImportReport:
    """Import rows into the data folder ``out``, and what is held out into ``held_out``; ``source``
    and ``options`` are kept in their history.

    Example:
        import_rows(find_rows(Path("MathVision")), get_adapter("mathvision"), Path("data/mv"))
    """
    config = config or ImportConfig()
    work = _Import(adapter, config, against, image_folder, count_tokens or estimate_tokens)
    out.mkdir(parents=True, exist_ok=True)
    rejected = out / "rejected.jsonl"
    unfinished = rejected.with_suffix(".part")
    apart = HoldOut(config.hold_out, work.pictures.origin)
    with ExitStack() as opened:
        writer = opened.enter_context(SampleWriter(out, overwrite=overwrite))
        held = writer
        if config.hold_out:
            held_out = held_out or held_out_of(out)
            again = _is_held_out_of(held_out, out)  # only what an import of ``out`` has written
            held = opened.enter_context(SampleWriter(held_out, overwrite=again))
            write_json(held_out / "ladder.json", {HELD_OUT_OF: str(out)})
        with open(unfinished, "w", encoding="ascii") as log:
            for outcome in work.run(rows):
                if isinstance(outcome, Sample):
                    (held if apart.takes(outcome) else writer).add(outcome)
                else:
                    log.write(to_line(outcome))
        unfinished.replace(rejected)
        if work.pictures.num_shrunk:
            work.report.notes["picture scaled down"] = work.pictures.num_shrunk
        if not work.report.accepted:
            raise DataError(_nothing_accepted(work.report, adapter, rejected))
        if work.missing_columns:
            raise DataError(
                f"--metadata: no row has a column {', '.join(sorted(work.missing_columns))}. Names "
                "are those in the source's file, in its spelling."
            )
        if config.hold_out:
            _note_held_out(work.report, apart, held.num_rows, writer.num_rows)
    if config.overlaps == "keep":
        write_atomic(out / "overlaps.jsonl", "".join(map(to_line, work.overlaps)))
    history = work.history() | {"source": source, "options": dict(options or {})}
    write_json(out / "ladder.json", history)
    if held_out is not None and config.hold_out:
        of_these = {"accepted": work.report.notes[NOTE]}
        write_json(held_out / "ladder.json", {**history, "rows": of_these, HELD_OUT_OF: str(out)})
    return work.report


HELD_OUT_OF = "held_out_of"


def held_out_of(out: Path) -> Path:
    """Where what is held out of a data folder lies: beside it."""
    whole = out.resolve()
    return (whole if out.name in ("", "..") else out).with_name(f"{whole.name}-held-out")


def _is_held_out_of(folder: Path, out: Path) -> bool:
    """Whether an earlier import of the same folder wrote it."""
    history = folder / "ladder.json"
    return history.exists() and read_json(history).get(HELD_OUT_OF) == str(out)


def _note_held_out(report: ImportReport, apart: HoldOut, num_held: int, num_left: int) -> None:
    if not num_held or not num_left:
        raise DataError(
            f"hold_out = {apart.share:g} of {report.accepted:,} questions leaves "
            f"{num_left:,} to train on and {num_held:,} to measure on. Hold out another share, or "
            "import more questions."
        )
    report.notes[NOTE] = num_held
    if apart.num_on_both_sides:
        report.notes[ON_BOTH_SIDES] = apart.num_on_both_sides


def _nothing_accepted(report: ImportReport, adapter: Adapter, rejected: Path) -> str:
    if not report.num_rows:
        return "The source holds no row, so there is nothing to import. Check the path."
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in report.rejected.most_common())
    hint = ""
    if "image missing" in report.rejected:
        hint = " --images DIR says where the pictures are."
    return (
        f"None of the {report.num_rows:,} rows can be used: {reasons}.{hint} Is the source in the "
        f"format '{adapter.name}'? {rejected} says of each row what is wrong with it; another "
        "format is chosen with --as, and --as table takes --column question=NAME and so on."
    )


class _Import:
    """The state of one import: what has been seen, and the counts."""

    def __init__(
        self,
        adapter: Adapter,
        config: ImportConfig,
        against: Fingerprints | None,
        image_folder: Path | None,
        count_tokens: TokenCounter,
    ) -> None:
        self.adapter = adapter
        self.config = config
        self.against = against
        self.image_folders = (image_folder,) if image_folder else ()
        self.count_tokens = count_tokens
        self.report = ImportReport()
        self.pictures = Pictures(
            max_pixels=config.max_image_pixels, max_bytes=config.max_image_bytes,
            shrink_to=config.shrink_images_to,
        )  # fmt: skip
        self.overlaps: list[dict[str, Any]] = []
        """The samples that were kept although a benchmark holds them, and what they repeat."""
        self.missing_columns = set(config.metadata)
        """Of those to be kept, what no row has had so far."""
        self._ids: set[str] = set()
        self._questions: set[bytes] = set()

    def history(self) -> dict[str, Any]:
        """What is kept of an import beside its samples."""
        return {
            "made_by": "data import",
            "source": "",
            "adapter": self.adapter.name,
            "reference": self.adapter.reference,
            "against": list(self.against.names) if self.against else [],
            "config": self.config.model_dump(mode="json"),
            "options": {},
            "num_rows": self.report.num_rows,
            "rows": self.report.table(),
            "notes": dict(self.report.notes),
        }

    def run(self, rows: Iterable[FoundRow]) -> Iterator[Sample | dict[str, Any]]:
        """A sample for each accepted row, a line for rejected.jsonl for each other one."""
        for found in rows:
            if self.report.num_rows == self.config.limit:
                return
            self.report.num_rows += 1
            try:
                sample = self._sample(found)
                self.report.accepted += 1
                yield sample
            except BadRow as bad:
                self.report.rejected[bad.reason] += 1
                yield {"place": found.place, "id": _row_id(found), **_why(bad)}

    def _sample(self, found: FoundRow) -> Sample:
        if isinstance(found.values, BadRow):
            raise found.values
        raw = read_raw(self.adapter, found.values)
        question = checked_text(raw.question, self.config.special_tokens).strip()
        options = [checked_text(option, self.config.special_tokens) for option in raw.options]
        if not question and not raw.images:
            raise BadRow("question empty")
        question, placed_options, order = place_images(question, options, len(raw.images))
        answer, kind = checked_gold(
            raw.answer, placed_options, raw.kind, self.config.max_answer_words
        )
        folders = self.image_folders + found.folders
        in_pixels = may_count_in_pixels(kind, answer, placed_options)
        images = [
            self.pictures.load(reference, folders, may_shrink=not in_pixels)
            for reference in raw.images
        ]
        sample = Sample(
            id="",
            question=question,
            answer=answer,
            kind=kind,
            images=tuple(images[index] for index in order),
            options=placed_options,
            source=raw.source or self.adapter.name,
            family=raw.family,
            **raw.measured,
            metadata=dict(raw.metadata) | self._kept_columns(found.values),
        )
        self._refuse_long(sample, may_shrink=not in_pixels)
        overlap = self._refuse_known(sample)
        sample = replace(sample, id=self._own_id(raw, sample))
        if overlap:
            self.report.notes["near-duplicate of a benchmark, kept"] += 1
            self.overlaps.append({"id": sample.id, **asdict(overlap)})
        return sample

    def _kept_columns(self, row: Mapping[str, Any]) -> dict[str, Any]:
        self.missing_columns -= row.keys()
        return checked_metadata(row, self.config.metadata)

    def _refuse_long(self, sample: Sample, *, may_shrink: bool) -> None:
        num_tokens = self.count_tokens(sample)
        if num_tokens > self.config.max_prompt_tokens:
            way_out = "--max-prompt-tokens allows more"
            if sample.images and may_shrink:
                way_out = "--shrink-images-to makes pictures smaller"
            allowed = f"at most {self.config.max_prompt_tokens} are allowed"
            raise BadRow("too long", f"{num_tokens} tokens, {allowed}; {way_out}")

    def _refuse_known(self, sample: Sample) -> Overlap | None:
        """What a sample that is kept repeats of a benchmark."""
        key = question_key(sample)
        if key in self._questions:
            raise BadRow("duplicate", "same images and question as an earlier row")
        overlap = self.against.find(sample) if self.against else None
        if overlap and self.config.overlaps == "exclude":
            detail = f"{overlap.what} of {overlap.of}, {overlap.likeness:.0%} alike"
            raise BadRow("near-duplicate of a benchmark", detail)
        self._questions.add(key)
        return overlap

    def _own_id(self, raw: RawQuestion, sample: Sample) -> str:
        """The source's id under the source's name; one that repeats is numbered, never lost."""
        given = raw.id if raw.id is not None else str(self.report.num_rows)
        given = re.sub(r"\s+", "-", given.strip())[:120]
        own = given if self.adapter.name == "ladder" else f"{sample.source}-{given}"
        unique, number = own, 1
        while unique in self._ids:
            number += 1
            unique = f"{own}-{number}"
        if number > 1:
            self.report.notes["id repeated, numbered"] += 1
        self._ids.add(unique)
        return unique


def _row_id(found: FoundRow) -> str | None:
    if isinstance(found.values, Mapping):
        for name in ("id", "pid", "sample_index", "ID"):
            if isinstance(found.values.get(name), str | int):
                return str(found.values[name])
    return None


def _why(bad: BadRow) -> dict[str, str]:
    return {"reason": bad.reason, "detail": bad.detail}


def question_key(sample: Sample) -> bytes:
    """The same for samples with equal images and questions that differ in spelling only."""
    text = unicodedata.normalize("NFKC", sample.question).casefold()
    text = re.sub(r"[\s.,:;!?]+", " ", text).strip()
    digest = blake2b(text.encode(), digest_size=16)
    for image in sample.images:
        digest.update(blake2b(image, digest_size=16).digest())
    if not sample.images:  # "Which is largest?" without a picture lives by its options
        digest.update("\n".join(sample.options).encode())
    return digest.digest()


def estimate_tokens(sample: Sample) -> int:
    """Prompt tokens without a tokenizer: a third of the characters, and of a picture what
    Qwen2.5-VL makes of it, a token for 28 × 28 pixels, at most 16,384. Other models take fewer."""
    import io

    from PIL import Image

    total = (len(sample.question) + sum(map(len, sample.options))) // 3
    for image in sample.images:
        with Image.open(io.BytesIO(image)) as picture:  # reads the header only
            width, height = picture.size
        total += min(16384, -(-width // 28) * -(-height // 28))
    return total
