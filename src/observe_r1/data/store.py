"""Samples on disk: parquet shards with the pictures inside, read lazily, written as a stream.

    folder/data/train-00000-of-00002.parquet ...   row groups of at most 16 MB: the unit of reading
    folder/README.md  ladder.json  rejected.jsonl  the card, how it was built, what was left out

Import, probe and ladder all use this layout, and ``datasets.load_dataset(folder)`` loads it.
"""

import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from observe_r1.data.columns import COLUMNS, arrow_schema, from_row, to_row
from observe_r1.errors import DataError
from observe_r1.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

GROUP_ROWS = 256
GROUP_BYTES = 16_000_000
SHARD_BYTES = 400_000_000
_CACHED_GROUPS = 4
_GATHERED_ROWS = 512


def sample_ids(samples: Sequence[Sample]) -> list[str]:
    """In their order, without reading a picture."""
    if isinstance(samples, SampleSet):
        return samples.column("id").tolist()
    return [sample.id for sample in samples]


def read_samples(folder: str | Path) -> "SampleSet":
    """The samples of a data folder, in the order of its rows; only the footers are read now."""
    folder = Path(folder)
    paths = sorted((folder / "data").glob("train-*.parquet"))
    if not paths:
        raise DataError(
            f"{folder} is not a data folder: there is no data/train-*.parquet in it. "
            "Make one with 'observe-r1 data import SRC --as ADAPTER --out DIR'."
        )
    return SampleSet([Shard(path) for path in paths])


def write_samples(folder: str | Path, samples: Iterable[Sample], *, overwrite: bool = False) -> int:
    """Write the shards of a data folder as the samples come; returns how many there were."""
    with SampleWriter(Path(folder), overwrite=overwrite) as writer:
        for sample in samples:
            writer.add(sample)
    return writer.num_rows


class Shard:
    """One parquet file: its row groups, read whole, a few of them kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        file = self._open()
        metadata = file.metadata
        self.columns = [name for name in COLUMNS if name in file.schema_arrow.names]
        missing = {"id", "question", "answer", "kind"} - set(self.columns)
        if missing:
            raise DataError(
                f"{path} has no column {', '.join(sorted(missing))}: it was not written by "
                "'observe-r1 data'. Import it with '--as table' and a column mapping."
            )
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.num_rows = int(self.starts[-1])
        file.close()

    def _open(self) -> "pq.ParquetFile":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"{self.path} cannot be read as parquet ({error}). It was cut off or damaged: "
                "make the data folder again, or delete this shard to go on without its rows."
            ) from None

    def read_group(self, group: int) -> list[dict[str, Any]]:
        with self._open() as file:
            return file.read_row_group(group, columns=self.columns).to_pylist()

    def read_columns(self, names: Sequence[str]) -> "pa.Table":
        with self._open() as file:
            return file.read(columns=[name for name in names if name in self.columns])


class SampleSet(Sequence[Sample]):
    """A lazy sequence of samples: an order over the rows of some shards.

    Indexing reads one row group and keeps it for the next index; iterating reads each row group
    once per five hundred rows asked for, so that a shuffled set streams too. ``column`` gives one
    plain column of all rows without touching the pictures.
    """

    def __init__(self, shards: Sequence[Shard], rows: np.ndarray | None = None) -> None:
        self._shards = list(shards)
        self._shard_starts = np.concatenate([[0], np.cumsum([s.num_rows for s in self._shards])])
        self._rows = np.arange(self._shard_starts[-1]) if rows is None else rows
        self._groups: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "SampleSet": ...
    def __getitem__(self, index: int | slice) -> "Sample | SampleSet":
        if isinstance(index, slice):
            return SampleSet(self._shards, self._rows[index])
        shard, group, offset = self._locate(int(self._rows[index]))
        return from_row(self._group(shard, group)[offset])

    def take(self, indices: Sequence[int] | np.ndarray) -> "SampleSet":
        """The samples at ``indices``, in that order, as lazy as this one."""
        return SampleSet(self._shards, self._rows[np.asarray(indices, dtype=np.int64)])

    def __iter__(self) -> Iterator[Sample]:
        for start in range(0, len(self), _GATHERED_ROWS):
            yield from self._gather(self._rows[start : start + _GATHERED_ROWS])

    def column(self, name: str) -> np.ndarray:
        """One plain column of every sample; numbers as floats with NaN for unknown."""
        import pyarrow as pa

        if name not in COLUMNS:
            raise KeyError(name)
        numeric = name in ("solve_rate", "complexity", "level", "rung", "position")
        parts: list[np.ndarray] = []
        for shard in self._shards:
            if name not in shard.columns:
                empty: Any = np.nan if numeric else None
                parts.append(np.full(shard.num_rows, empty, dtype=float if numeric else object))
                continue
            values = shard.read_columns([name]).column(name)
            if numeric:
                values = values.cast(pa.float64())
            parts.append(values.to_numpy().astype(float if numeric else object))
        return np.concatenate(parts)[self._rows]

    def _locate(self, row: int) -> tuple[int, int, int]:
        shard = int(np.searchsorted(self._shard_starts, row, side="right")) - 1
        row -= int(self._shard_starts[shard])
        starts = self._shards[shard].starts
        group = int(np.searchsorted(starts, row, side="right")) - 1
        return shard, group, row - int(starts[group])

    def _group(self, shard: int, group: int) -> list[dict[str, Any]]:
        with self._lock:
            key = (shard, group)
            if key not in self._groups:
                self._groups[key] = self._shards[shard].read_group(group)
            self._groups.move_to_end(key)
            while len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
            return self._groups[key]

    def _gather(self, rows: np.ndarray) -> list[Sample]:
        """The samples of some rows, each row group they lie in read once."""
        places = sorted((*self._locate(int(row)), place) for place, row in enumerate(rows))
        samples: dict[int, Sample] = {}
        for shard, group, offset, place in places:
            samples[place] = from_row(self._group(shard, group)[offset])
        return [samples[place] for place in range(len(rows))]

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self._shards, "rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["shards"], state["rows"])


class SampleWriter:
    """Streams samples into shards. The data appears whole when the writer closes, or not at all.

    Holds at most one row group in memory. Equal pictures in one row group are stored once.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.num_rows = 0
        self._final = folder / "data"
        if not overwrite and any(self._final.glob("train-*.parquet")):
            raise DataError(
                f"{folder} already holds samples. Choose another --out, or delete its data folder."
            )
        self._working = folder / ".data.part"
        shutil.rmtree(self._working, ignore_errors=True)
        self._working.mkdir(parents=True)
        self._schema = arrow_schema()
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = 0
        self._shard_bytes = 0
        self._num_shards = 0
        self._file: pq.ParquetWriter | None = None

    def add(self, sample: Sample) -> None:
        self._rows.append(to_row(sample))
        self._row_bytes += sum(map(len, sample.images)) + len(sample.question)
        self.num_rows += 1
        if len(self._rows) >= GROUP_ROWS or self._row_bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is left and put the shards in place."""
        self._write_group(even_if_empty=self._num_shards == 0)
        self._close_shard()
        for index, path in enumerate(sorted(self._working.iterdir())):
            path.rename(self._working / f"train-{index:05d}-of-{self._num_shards:05d}.parquet")
        shutil.rmtree(self._final, ignore_errors=True)
        self._working.rename(self._final)

    def discard(self) -> None:
        self._close_shard()
        shutil.rmtree(self._working, ignore_errors=True)

    def _write_group(self, *, even_if_empty: bool = False) -> None:
        import pyarrow as pa

        if not self._rows and not even_if_empty:
            return
        file = self._file = self._file or self._open_shard()
        file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._shard_bytes += self._row_bytes
        self._rows, self._row_bytes = [], 0
        if self._shard_bytes >= SHARD_BYTES:
            self._close_shard()

    def _open_shard(self) -> "pq.ParquetWriter":
        import pyarrow.parquet as pq

        path = self._working / f"shard-{self._num_shards:05d}.parquet"
        self._num_shards += 1
        # A dictionary as large as a row group: a picture that questions share is stored once.
        return pq.ParquetWriter(
            path, self._schema, compression="zstd", dictionary_pagesize_limit=2 * GROUP_BYTES
        )

    def _close_shard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._shard_bytes = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
