"""Files → rows, as a stream. What cannot be read is one bad row with its place, never the end.

.jsonl  a row a line          .json  a list, values in lines, or what the adapter takes rows from
.csv .tsv  a row a record     .parquet .arrow  read batch by batch, pictures as bytes
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.data.sources.base import BadRow
from observe_r1.data.sources.json_values import Broken, JsonValues, why
from observe_r1.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_BATCH_ROWS = 64
_MAX_CELL = 64_000_000
_READ_AHEAD = 1_000_000
_ASIDE = {"dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json",
          "ladder.json", "rejected.jsonl", "rollouts.jsonl", "probe.json", "decisions.jsonl",
          "difficulty.jsonl", "overlaps.jsonl", "logic_form.json"}  # fmt: skip


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
    folder = source.parent if source.is_file() else source
    for path in data_files(source):
        yield from _rows_of(path, folder, records)


def data_files(source: Path) -> list[Path]:
    """The file itself, or every data file below a folder, in the order they are read."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"{source} is neither a file nor a folder. Check the path.")
    paths = sorted(path for path in source.rglob("*") if _is_data(path, source))
    if not paths:
        raise DataError(
            f"{source} holds no data file ({', '.join(SUFFIXES)}). Name the file itself if it "
            "ends otherwise."
        )
    return paths


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
    if isinstance(value, Broken):
        return BadRow("row cannot be read", f"not JSON: {value.why}")
    return BadRow("row cannot be read", f"{type(value).__name__} where an object is expected")


def _jsonl(path: Path) -> Numbered:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, _as_row(json.loads(line))
                except (ValueError, RecursionError) as error:
                    yield number, BadRow("row cannot be read", f"not JSON: {why(error)}")


def _json(path: Path, records: Records | None) -> Numbered:
    """A JSON file: the items of its list, or its values one after the other. A single object is
    one row, rows under ids, or whatever the adapter takes rows from."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        values = JsonValues(file)
        found: Iterable[Any] = values
        if not values.is_list:
            first = list(islice(values, 1))
            alone = first and isinstance(first[0], dict) and values.is_at_end
            found = _rows_inside(first[0], records) if alone else chain(first, values)
        for number, value in enumerate(found, start=1):
            yield number, _as_row(value)


def _rows_inside(content: dict[str, Any], records: Records | None) -> list[Any]:
    if records:
        return records(content)
    nested = content and all(isinstance(value, dict) for value in content.values())
    return list(content.values()) if nested else [content]


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
    """Row group by row group: a damaged one costs its own rows, each of them accounted for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Otherwise a row group's column of pictures would be in memory whole.
        file = pq.ParquetFile(path, buffer_size=_READ_AHEAD, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        yield 1, _cut_off(error)
        return
    number = 0
    with file:
        for group in range(file.num_row_groups):
            last = number + file.metadata.row_group(group).num_rows
            try:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                    for row in _rows_in(batch):
                        number += 1
                        yield number, row
            except (pa.ArrowException, OSError) as error:
                detail = f"its row group is damaged: {error}"
                for lost in range(number + 1, last + 1):
                    yield lost, BadRow("row cannot be read", detail)
            number = last


def _arrow(path: Path) -> Numbered:
    """A file that ``Dataset.save_to_disk`` wrote."""
    import pyarrow as pa

    number = 0
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    for row in _rows_in(batch.slice(start, _BATCH_ROWS)):
                        number += 1
                        yield number, row
    except (pa.ArrowException, OSError) as error:
        yield number + 1, _cut_off(error)


def _rows_in(batch: "pa.RecordBatch") -> Iterator[Mapping[str, Any] | BadRow]:
    """The rows of a batch; one that holds what Python cannot (text in another encoding, a date in
    the year 300,000) is a bad row."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            rows = [BadRow("row cannot be read", str(error)[:200])]
        else:
            rows = [row for i in range(batch.num_rows) for row in _rows_in(batch.slice(i, 1))]
    yield from rows


def _cut_off(error: Exception) -> BadRow:
    detail = f"cut off or damaged from here on ({error}); fetch the file again"
    return BadRow("file cannot be read", detail)
