"""Samples as verl reads them: one parquet file in the schema of its multi-modal examples.

    {"data_source": "puzzles", "prompt": [{"role": "system", "content": "…"},
                                          {"role": "user", "content": "<image>How many?"}],
     "images": [{"bytes": b"…"}], "ability": "counting",
     "reward_model": {"style": "rule", "ground_truth": "3"},
     "extra_info": {"index": 0, "id": "puzzles-counting-7", "question": "How many?",
                    "kind": "number", "options": [], "solve_rate": 0.625, "complexity": 41.5,
                    "level": 3, "rung": 2, "position": 117, "metadata": null}}

verl puts the pictures where the ``<image>`` markers stand, so every picture gets one. A row holds
the whole sample: ``sample_of`` gives it back to the rewards and the curriculum.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.data.columns import IMAGE_MARKER, metadata_text, read_metadata
from observe_r1.errors import DataError
from observe_r1.text import format_question
from observe_r1.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP_ROWS = 256
FOREIGN_MARKERS = ("<video>", "<audio>")
"""verl reads these as places for media too, wherever a prompt has pictures."""
UNNAMED = "questions"
"""What verl calls the questions of a source without a name, in its validation metrics."""
_FACTS = ("solve_rate", "complexity", "level", "rung", "position")


def write_verl(path: Path, samples: Iterable[Sample], *, system_prompt: str = "") -> int:
    """Write samples in their order; returns how many.

    Example:
        write_verl(Path("train.parquet"), read_samples("data/ladder"),
                   system_prompt=system_prompt("observe_think_answer"))
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for rows in _batches(samples, system_prompt):
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _batches(samples: Iterable[Sample], system_prompt: str) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for index, sample in enumerate(samples):
        rows.append(verl_row(sample, index, system_prompt))
        if len(rows) == _GROUP_ROWS:
            yield rows
            rows = []
    yield rows  # also when it is empty: a file without rows still has its schema


def verl_row(sample: Sample, index: int, system_prompt: str) -> dict[str, Any]:
    prompt = [{"role": "user", "content": marked_question(sample)}]
    if system_prompt:
        prompt.insert(0, {"role": "system", "content": system_prompt})
    return {
        "data_source": sample.source or UNNAMED,
        "prompt": prompt,
        "images": [{"bytes": image} for image in sample.images],
        "ability": sample.family or "",
        "reward_model": {"style": "rule", "ground_truth": sample.answer},
        "extra_info": {
            "index": index,
            "id": sample.id,
            "question": sample.question,
            "kind": sample.kind,
            "options": list(sample.options),
            **{name: getattr(sample, name) for name in _FACTS},
            "metadata": metadata_text(sample),
        },
    }


def marked_question(sample: Sample) -> str:
    """The user turn, one marker a picture: in the same words and at the same places as the
    built-in engine renders it."""
    question = format_question(sample)
    pieces = question.split(IMAGE_MARKER)
    num_markers = len(pieces) - 1
    if num_markers and num_markers != len(sample.images):
        raise DataError(
            f"sample '{sample.id}' has {len(sample.images)} image(s) but {num_markers} "
            f"{IMAGE_MARKER} marker(s) in its question. Give one marker an image, or none to put "
            "all images first."
        )
    if sample.images and any(marker in question for marker in FOREIGN_MARKERS):
        raise DataError(
            f"sample '{sample.id}' has pictures and the word {' or '.join(FOREIGN_MARKERS)} in its "
            "question, where verl would look for a recording. Reword the question."
        )
    if not num_markers:
        return IMAGE_MARKER * len(sample.images) + question
    return IMAGE_MARKER.join(piece.strip("\n") if piece.strip() else "" for piece in pieces)


def sample_of(row: Mapping[str, Any], images: tuple[bytes, ...] = ()) -> Sample:
    """The sample of a row, as ``data.store`` would give it; pictures only where they are given,
    for verl takes them out of the row.

    Example:
        sample_of(verl_row(sample, 0, ""), sample.images) == sample
    """
    known = row["extra_info"]
    return Sample(
        id=known["id"],
        question=known["question"],
        answer=row["reward_model"]["ground_truth"],
        kind=known["kind"],
        images=images,
        options=tuple(known["options"]),
        source="" if row["data_source"] == UNNAMED else row["data_source"],
        family=row["ability"] or None,
        **{name: known[name] for name in _FACTS},
        metadata=read_metadata(known.get("metadata")),
    )


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text = pa.string()
    message = pa.struct([("role", text), ("content", text)])
    extra = pa.struct(
        [
            ("index", pa.int64()),
            ("id", text),
            ("question", text),
            ("kind", text),
            ("options", pa.list_(text)),
            ("solve_rate", pa.float64()),
            ("complexity", pa.float64()),
            ("level", pa.int32()),
            ("rung", pa.int32()),
            ("position", pa.int64()),
            ("metadata", text),
        ]
    )
    return pa.schema(
        [
            ("data_source", text),
            ("prompt", pa.list_(message)),
            ("images", pa.list_(pa.struct([("bytes", pa.binary())]))),
            ("ability", text),
            ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
            ("extra_info", extra),
        ]
    )
