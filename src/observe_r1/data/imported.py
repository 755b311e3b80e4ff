"""Whether samples that were imported before are those that an import would give now.

ladder.json  source, against, config   what is known of every import
             options                   what else its samples depend on
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.data.importing import ImportConfig
from observe_r1.data.open_source import is_puzzles, place_of_rows
from observe_r1.data.sources.files import data_files
from observe_r1.records import read_json

CONTENT = "content of the source"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What ``data import`` and ``data build`` are told.

    Example:
        ImportRequest(source="my.jsonl", adapter="table", config=ImportConfig(limit=100))
    """

    source: str
    adapter: str
    config: ImportConfig
    columns: Sequence[str] = ()
    images: Path | None = None
    against: Sequence[str] = ()
    tokenizer: str | None = None
    seed: int = 0

    def options(self, out: Path) -> dict[str, Any]:
        """What samples depend on beside the source's name, ``config`` and ``against``. What lies in
        ``out`` is no part of the source, even where that is the folder around it."""
        drawn = is_puzzles(self.source, self.adapter)
        return {
            "as": self.adapter,
            "column": list(self.columns),
            "images": str(self.images) if self.images else None,
            "tokenizer": self.tokenizer,
            "seed": self.seed if drawn else None,
            CONTENT: None if drawn else _hash_of_rows(self.source, self.adapter, out.resolve()),
        }


def _hash_of_rows(source: str, adapter_name: str, out: Path) -> str | None:
    """Of every byte that rows are read from; None for the hub, and for a source that is gone."""
    if not Path(source).exists():
        return None
    digest = hashlib.sha256()
    for path in data_files(place_of_rows(source, adapter_name)):
        if out not in path.resolve().parents:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def imported_otherwise(
    folder: Path, request: ImportRequest, options: Mapping[str, Any]
) -> list[str]:
    """A line for everything that was different when the folder was imported; what an older import
    has not recorded cannot be compared."""
    there = read_json(folder / "ladder.json")
    config = there.get("config", {})
    if config:  # what could not be set then was as it is where it is not set now
        config = ImportConfig().model_dump(mode="json") | config
    then = {**there, **config, **there.get("options", {})}
    now = {
        "source": request.source,
        **options,
        **request.config.model_dump(mode="json"),
        "against": list(request.against),
    }
    if now[CONTENT] is None:  # it may be gone: its samples are all here
        del now[CONTENT]
    return [
        f"{name}: {_worded(then[name])} then, {_worded(value)} now"
        for name, value in now.items()
        if name in then and then[name] != value
    ]


def _worded(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value in (None, "") else str(value)
