"""The questions of an evaluation in the run folder's ``samples.jsonl``, their pictures beside it.

The same rows as training writes, so that the report shows what was asked, whoever asked it.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from observe_r1.records import append_rows, read_rows
from observe_r1.types import Sample

SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def keep_questions(folder: Path, samples: Iterable[Sample]) -> None:
    """Add what ``samples.jsonl`` lacks; rows that are there stay as they are."""
    path = folder / "samples.jsonl"
    known = {row["sample_id"] for row in read_rows(path)} if path.exists() else set()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    append_rows(path, (_row(folder, sample) for sample in samples if sample.id not in known))


def _row(folder: Path, sample: Sample) -> dict[str, Any]:
    return {
        "sample_id": sample.id,
        "question": sample.question,
        "answer": sample.answer,
        "kind": sample.kind,
        "options": list(sample.options),
        "images": [_keep_image(folder, image) for image in sample.images],
        "family": sample.family,
        "level": sample.level,
        "rung": sample.rung,
    }


def _keep_image(folder: Path, image: bytes) -> str:
    suffix = next((s for start, s in SUFFIXES.items() if image.startswith(start)), ".img")
    name = f"images/{hashlib.sha256(image).hexdigest()[:20]}{suffix}"
    path = folder / name
    if not path.exists():
        path.write_bytes(image)
    return name
