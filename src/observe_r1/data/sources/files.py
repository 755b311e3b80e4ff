"""Files → rows, as a stream. What cannot be read is one bad row with its place, never the end.

.jsonl  a row a line          .json  a list, or whatever the adapter takes rows from
.csv .tsv  a row a record     .parquet .arrow  read batch by batch, pictures as bytes
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.data.sources.base import BadRow
from observe_r1.errors import DataError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_BATCH_ROWS = 64
_MAX_CELL = 64_000_000
_ASIDE = {"dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json",
          "ladder.json", "rejected.jsonl", "rollouts.jsonl", "probe.json", "decisions.jsonl",
          "logic_form.json"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FoundRow:
    """One row and where it lies; ``values`` is the error where it could not be read.

    Example:
        FoundRow("testmini.jsonl:17", {"id": "4", "question": "…"}, (folder,))
    """

    place: str
    values: Mapping[str, Any] | BadRow
    folders: tuple[Path, ...]
    """What relative image paths are relative to: the file's folder, and the source's."""


Records = Callable[[Any], Any]


def find_rows(source: Path, records: Records | None = None) -> Iterator[FoundRow]:
    """The rows of a file, or of every data file below a folder."""
    if source.is_file():
        yield from _rows_of(source, source.parent, records)
        return
    if not source.is_dir():
        raise DataError(f"{source} is neither a file nor a folder. Check the path.")
    paths = sorted(path for path in source.rglob("*") if _is_data(path, source))
    if not paths:
        raise DataError(
            f"{source} holds no data file ({', '.join(SUFFIXES)}). Name the file itself if it "
            "ends otherwise."
        )
    for path in paths:
        yield from _rows_of(path, source, records)


def _is_data(path: Path, source: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
    return path.suffix.lower() in SUFFIXES and path.name not in _ASIDE and not hidden


def _rows_of(path: Path, folder: Path, records: Records | None) -> Iterator[FoundRow]:
    readers = {".jsonl": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".arrow": _arrow}
    name = path.relative_to(folder).as_posix()
    suffix = path.suffix.lower()
    if suffix == ".json":
        rows = _json(path, records)
    elif suffix in readers:
        rows = readers[suffix](path)
    else:
        raise DataError(f"{path} ends in none of {', '.join(SUFFIXES)}: its format is unknown.")
    folders = tuple(dict.fromkeys((path.parent, folder)))
    for number, values in rows:
        yield FoundRow(f"{name}:{number}", values, folders)


Numbered = Iterator[tuple[int, Mapping[str, Any] | BadRow]]


def _as_row(value: Any) -> Mapping[str, Any] | BadRow:
    if isinstance(value, dict):
        return value
    return BadRow("row cannot be read", f"a {type(value).__name__} where an object is expected")


def _jsonl(path: Path) -> Numbered:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, _as_row(json.loads(line))
                except ValueError as error:
                    yield number, BadRow("row cannot be read", f"not JSON: {error}")


def _json(path: Path, records: Records | None) -> Numbered:
    """A whole JSON file; when it is broken, every object of its list that can be read."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    try:
        content = json.loads(text)
        found = records(content) if records else content
    except ValueError:
        yield from _salvage(text)
        return
    if isinstance(found, dict):  # one row, or rows under ids
        nested = all(isinstance(value, dict) for value in found.values()) and found
        found = list(found.values()) if nested else [found]
    for number, value in enumerate(found, start=1):
        yield number, _as_row(value)


def _salvage(text: str) -> Numbered:
    """Objects of a broken list, one by one; after a broken one, the next that opens a line."""
    decoder = json.JSONDecoder()
    place, number = text.find("{"), 0
    while place >= 0:
        number += 1
        try:
            value, end = decoder.raw_decode(text, place)
            yield number, _as_row(value)
            place = text.find("{", end)
        except ValueError as error:
            yield number, BadRow("row cannot be read", f"not JSON: {error}")
            line_end = text.find("\n", place)
            place = _next_object(text, line_end) if line_end >= 0 else -1


def _next_object(text: str, start: int) -> int:
    while start >= 0:
        end = text.find("\n", start + 1)
        line = text[start + 1 : end if end >= 0 else len(text)]
        if line.lstrip(" \t,[").startswith("{"):
            return text.index("{", start)
        start = end
    return -1


def _csv(path: Path) -> Numbered:
    csv.field_size_limit(_MAX_CELL)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield reader.line_num, BadRow("row cannot be read", str(error))
                continue
            if None in row:
                yield reader.line_num, BadRow("row cannot be read", "more cells than the header")
                continue
            yield reader.line_num, {name: value or None for name, value in row.items()}


def _parquet(path: Path) -> Numbered:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        yield number + 1, _cut_off(error)


def _arrow(path: Path) -> Numbered:
    """A file that ``Dataset.save_to_disk`` wrote."""
    import pyarrow as pa

    number = 0
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    for row in batch.slice(start, _BATCH_ROWS).to_pylist():
                        number += 1
                        yield number, row
    except (pa.ArrowException, OSError) as error:
        yield number + 1, _cut_off(error)


def _cut_off(error: Exception) -> BadRow:
    return BadRow("file cannot be read", f"cut off or damaged from here on: {error}")
