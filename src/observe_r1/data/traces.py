"""Traces: responses that are learnt from, whoever wrote them, in a folder of their own.

    traces.jsonl    {"sample_id": "puzzles-counting-2-1-7", "response": "<think>2 + 1</think>…",
                     "grammar": "think_answer", "origin": "solver", "stage": "teach", …}
    samples.jsonl   the questions, as in a run folder
    images/         their pictures

What ``teach`` and ``sample`` write and ``sft`` and ``dpo`` read. A preference pair is two traces of
one question: the chosen one and the rejected one may come from different stages.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from observe_r1.data.store import sample_ids
from observe_r1.errors import DataError
from observe_r1.records import (
    IMAGES,
    append_rows,
    image_place,
    read_rows,
    sample_row,
    to_line,
    write_atomic,
)
from observe_r1.types import Sample

TRACES, SAMPLES = "traces.jsonl", "samples.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One response to one question, where it came from, and what is known of it.

    Example:
        TraceRow(sample_id="puzzles-counting-2-1-7", grammar="think_answer",
                 response="<think>2 + 1</think>\\n<answer>3</answer>", origin="solver")
    """

    sample_id: str
    response: str
    """What is learnt to be written, without end token."""
    grammar: str
    """The grammar that the response is written in; its system prompt asks for it."""
    system_prompt: str | None = None
    """None: the grammar's own; empty: none at all."""
    origin: str = ""
    """Who wrote it: ``solver``, a model's name, a file's."""
    stage: str = ""
    """The stage that wrote it first: traces of several rounds can be told apart."""
    transforms: tuple[str, ...] = ()
    """What has been done to it since, in order."""
    correct: bool | None = None
    """Graded against the gold; None: not graded."""
    num_tokens: int | None = None
    """Of the response, as its writer counted; None: not counted."""
    truncated: bool = False
    """Cut off by the token limit."""
    perplexity: float | None = None
    """exp of the mean negative log-prob of a token, under the model named by the stage that
    measured it; None: not measured."""
    solve_rate: float | None = None
    """Share of the responses drawn to this question that were correct; None: not drawn."""
    caption: str = ""
    """What is in the picture, in words, where the writer said it."""
    sketch: str = ""
    """The reasoning in brief, where the writer gave it."""
    difficulty: float | None = None
    """0 (easy) to 1 (hard), where the writer knows."""


@dataclass(frozen=True, slots=True)
class TraceSet:
    """Traces and the questions they answer.

    Example:
        TraceSet(rows=(row,), samples={sample.id: sample})
    """

    rows: tuple[TraceRow, ...]
    samples: Mapping[str, Sample] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, row: TraceRow) -> Sample:
        return self.samples[row.sample_id]

    def content(self, sample_id: str) -> tuple[Any, ...]:
        """What a question is, whatever its id: text, gold, options, and its pictures by hash."""
        if isinstance(self.samples, FolderSamples):
            return self.samples.content(sample_id)
        sample = self.samples[sample_id]
        pictures = map(image_place, sample.images)
        return sample.question, sample.answer, sample.options, tuple(pictures)

    def with_rows(self, rows: Iterable[TraceRow]) -> "TraceSet":
        return TraceSet(tuple(rows), self.samples)


def write_traces(folder: Path, traces: TraceSet) -> None:
    """The rows and the questions they need; the rows come last and whole."""
    answered = dict.fromkeys(row.sample_id for row in traces.rows)
    keep_samples(folder, (traces.samples[sample_id] for sample_id in answered))
    write_atomic(folder / TRACES, "".join(to_line(asdict(row)) for row in traces.rows))


def keep_samples(folder: Path, samples: Iterable[Sample]) -> None:
    """Add the questions that ``samples.jsonl`` lacks."""
    path = folder / SAMPLES
    known = {row["sample_id"] for row in read_rows(path)} if path.exists() else set()
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    append_rows(path, (_whole_row(sample, folder) for sample in samples if sample.id not in known))


def _whole_row(sample: Sample, folder: Path) -> dict[str, Any]:
    """With what transforms and rewards of later stages may read."""
    row = sample_row(sample, folder)
    if sample.solve_rate is not None:
        row["solve_rate"] = sample.solve_rate
    if sample.metadata:
        row["metadata"] = dict(sample.metadata)
    return row


def read_traces(folder: Path) -> TraceSet:
    """The traces of a folder with their questions and pictures."""
    path = folder / TRACES
    if not path.exists():
        raise DataError(
            f"{folder} holds no traces: there is no {TRACES} in it. Name a stage that writes "
            "traces (teach, sample), a folder of such a stage, or a file of chats with images."
        )
    samples = FolderSamples(folder)
    rows = tuple(_read_row(row, path) for row in read_rows(path))
    if missing := sorted({row.sample_id for row in rows} - samples.keys()):
        raise DataError(
            f"{path}: {len(missing)} traces answer questions that are not in {SAMPLES}, for "
            f"example '{missing[0]}'. The folder is incomplete; copy it again or make it anew."
        )
    return TraceSet(rows, samples)


class FolderSamples(Mapping[str, Sample]):
    """The questions of a run folder or a folder of traces, by id. A question's pictures are read
    when it is asked for: those of all questions would not fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = {row["sample_id"]: row for row in read_rows(folder / SAMPLES)}

    def __getitem__(self, sample_id: str) -> Sample:
        row = self._rows[sample_id]
        return Sample(
            id=sample_id,
            question=row["question"],
            answer=row["answer"],
            kind=row["kind"],
            images=tuple(self._picture(name) for name in row.get("images") or ()),
            options=tuple(row.get("options") or ()),
            family=row.get("family"),
            level=row.get("level"),
            rung=row.get("rung"),
            solve_rate=row.get("solve_rate"),
            metadata=row.get("metadata") or {},
        )

    def content(self, sample_id: str) -> tuple[Any, ...]:
        """As ``TraceSet.content`` has it, without reading a picture: their names are hashes."""
        row = self._rows[sample_id]
        listed = (tuple(row.get(name) or ()) for name in ("options", "images"))
        return row["question"], row["answer"], *listed

    def _picture(self, name: str) -> bytes:
        """A stranger's folder may name any file of this machine; only its own are read."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise DataError(
                f"{self._folder / SAMPLES} names the picture '{name}', which is outside of the "
                "folder and is not read. Put the picture into it and name it from there."
            )
        return path.read_bytes()

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._rows  # the mapping's own way would read the pictures

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class SampleIndex(Mapping[str, Sample]):
    """A sequence of samples by id, as lazy as the sequence is.

    Example:
        SampleIndex(read_samples(Path("data/mine")))["puzzles-counting-2-1-7"]
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._places = {name: place for place, name in enumerate(sample_ids(samples))}

    def __getitem__(self, sample_id: str) -> Sample:
        return self._samples[self._places[sample_id]]

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _read_row(row: Mapping[str, Any], path: Path) -> TraceRow:
    try:
        return TraceRow(**{**row, "transforms": tuple(row.get("transforms") or ())})
    except TypeError as error:
        raise DataError(
            f"{path} has a row that is no trace ({error}). A row needs sample_id, response and "
            "grammar; write it with a teach or sample stage."
        ) from None


def join(parts: Sequence[TraceSet]) -> TraceSet:
    """Several sets as one, in order. Two questions that share an id, as rows of two tables may,
    stay two: the later one is known by another."""
    if len(parts) == 1:
        return parts[0]
    asked: dict[str, Any] = {}
    others: dict[str, tuple[TraceSet, str]] = {}
    rows: list[TraceRow] = []
    for number, part in enumerate(parts):
        known_as = {sample_id: sample_id for sample_id in (row.sample_id for row in part.rows)}
        for sample_id in known_as:
            content = part.content(sample_id)
            if asked.setdefault(sample_id, content) != content:
                known_as[sample_id] = f"{sample_id}~{number}"
                others[known_as[sample_id]] = (part, sample_id)
        rows += [replace(row, sample_id=known_as[row.sample_id]) for row in part.rows]
    # Chained, not copied into one: a copy would read all pictures. Nobody writes to it.
    known = [cast(Any, part.samples) for part in parts]
    return TraceSet(tuple(rows), ChainMap(*known, cast(Any, _Renamed(others))))


class _Renamed(Mapping[str, Sample]):
    """Questions under other ids than in the set they are from."""

    def __init__(self, others: Mapping[str, tuple[TraceSet, str]]) -> None:
        self._others = others

    def __getitem__(self, sample_id: str) -> Sample:
        part, own_id = self._others[sample_id]
        return replace(part.samples[own_id], id=sample_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)
