"""The questions of an evaluation in the run folder's ``samples.jsonl``, their pictures beside it.

The same rows as training writes, so that the report shows what was asked, whoever asked it.
"""

from collections.abc import Iterable
from pathlib import Path

from observe_r1.records import IMAGES, append_rows, read_rows, sample_row
from observe_r1.types import Sample


def keep_questions(folder: Path, samples: Iterable[Sample]) -> None:
    """Add what ``samples.jsonl`` lacks; rows that are there stay as they are."""
    path = folder / "samples.jsonl"
    known = {row["sample_id"] for row in read_rows(path)} if path.exists() else set()
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    append_rows(path, (sample_row(sample, folder) for sample in samples if sample.id not in known))
