"""What ``data import`` is given → rows and the adapter that reads them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from observe_r1.data.sources import ADAPTERS, Adapter, get_adapter
from observe_r1.data.sources.base import BadRow, RawQuestion, read_raw
from observe_r1.data.sources.files import FoundRow, find_rows
from observe_r1.data.sources.pictures import Pictures
from observe_r1.data.sources.puzzles import puzzle_rows
from observe_r1.data.sources.table import table_adapter
from observe_r1.data.store import read_samples
from observe_r1.errors import ConfigError, DataError
from observe_r1.types import Sample

_DEFAULT_PUZZLES = 1000


def open_source(
    source: str,
    adapter_name: str,
    columns: Sequence[str] = (),
    *,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[Iterator[FoundRow], Adapter]:
    """The rows of a file, folder, hub id or of the puzzles.

    Example:
        rows, adapter = open_source("MathVision/testmini.jsonl", "mathvision")
    """
    if is_puzzles(source, adapter_name):
        rows = puzzle_rows(source, count=limit or _DEFAULT_PUZZLES, seed=seed)
        return rows, replace(get_adapter("ladder"), title="built-in puzzles")
    adapter = get_adapter(adapter_name or _guess(source))
    if columns:
        if adapter_name != "table":
            raise ConfigError(f"--column belongs to --as table; '{adapter_name}' has its own.")
        adapter = table_adapter(dict(_mapping(column) for column in columns))
    if Path(source).exists():
        return find_rows(place_of_rows(source, adapter_name), adapter.records), adapter
    return _hub_rows(source), adapter


def is_puzzles(source: str, adapter_name: str) -> bool:
    return adapter_name == "puzzles" or (not adapter_name and source == "puzzles")


def place_of_rows(source: str, adapter_name: str) -> Path:
    """The file or folder that is read: of a data folder of ours only its shards."""
    inside = Path(source) / "data"
    is_ours = (adapter_name or _guess(source)) == "ladder" and inside.is_dir()
    return inside if is_ours else Path(source)


def _guess(source: str) -> str:
    """The format of a source that is plain to see."""
    if any((Path(source) / "data").glob("train-*.parquet")):
        return "ladder"
    raise ConfigError(
        f"the format of '{source}' must be named: --as ADAPTER, one of {', '.join(ADAPTERS)}, "
        "puzzles."
    )


def _mapping(column: str) -> tuple[str, str]:
    field, equals, name = column.partition("=")
    if not equals or not name:
        raise ConfigError(f"--column {column} has no name. Write --column question=problem.")
    return field, name


def _hub_rows(source: str) -> Iterator[FoundRow]:
    """Rows of a data set on the hub, ``owner/name`` or ``owner/name:config/split``, as a stream."""
    name, _, part = source.partition(":")
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise DataError(f"{source} does not exist, and is no hub id such as owner/name either.")
    import datasets

    config, _, split = part.rpartition("/")
    try:
        stream = datasets.load_dataset(name, config or None, split=split or "train", streaming=True)
    # The hub client raises errors of several libraries: no network, no such set, no such split.
    except Exception as error:
        raise DataError(
            f"'{source}' can be read neither as a path nor from the hub: {error}\nCheck the name, "
            "the split (owner/name:config/split) and the connection; or download the files and "
            "give their folder."
        ) from None
    return _stream_rows(source, stream.decode(False), home=f"hf://datasets/{name}@")


def _stream_rows(source: str, stream: Iterable[Any], home: str) -> Iterator[FoundRow]:
    """Numbered rows with their pictures; a connection that breaks is one bad row at the end."""
    number = 0
    try:
        for number, row in enumerate(stream, start=1):
            yield FoundRow(f"{source}:{number}", _with_pictures(row, home), ())
    except Exception as error:  # of whichever library reads the files
        bad = BadRow("file cannot be read", f"the stream ended early: {error}")
        yield FoundRow(f"{source}:{number + 1}", bad, ())


def _with_pictures(row: Mapping[str, Any], home: str) -> Mapping[str, Any] | BadRow:
    """Data sets of plain picture files stream their addresses. Only addresses within the data set
    itself are followed: a row must not make us read anything else."""

    def fetched(value: Any) -> Any:
        if isinstance(value, list):
            return [fetched(entry) for entry in value]
        is_picture = isinstance(value, Mapping) and {"bytes", "path"} == set(value)
        if not is_picture or value["bytes"] is not None or not _is_within(value["path"], home):
            return value
        import fsspec

        with fsspec.open(value["path"], "rb") as file:
            return {"bytes": file.read(), "path": value["path"]}  # type: ignore[attr-defined]

    try:
        return {name: fetched(value) for name, value in row.items()}
    except OSError as error:
        return BadRow("image missing", str(error))


def _is_within(address: Any, home: str) -> bool:
    """``hf://…/1.png``, or ``zip://1.png::hf://…/pictures.zip``."""
    *members, outer = str(address).split("::")
    return outer.startswith(home) and all(m.startswith(("zip://", "tar://")) for m in members)


def benchmark_samples(
    name: str, on_bad: Callable[[BadRow], None] = lambda bad: None
) -> Iterator[Sample]:
    """The questions of a benchmark: a data folder, or ``ADAPTER:PATH``; golds do not matter.

    ``on_bad`` is told of every row and picture that cannot be read, and so not be compared with.
    """
    adapter_name, _, path = name.partition(":")
    if adapter_name not in ADAPTERS or not path:
        yield from read_samples(name)
        return
    rows, adapter = open_source(path, adapter_name)
    pictures = Pictures(max_pixels=200_000_000, max_bytes=200_000_000)
    for number, found in enumerate(rows):
        try:
            if isinstance(found.values, BadRow):
                raise found.values
            raw = read_raw(adapter, found.values)
        except BadRow as bad:
            on_bad(bad)
            continue
        images = tuple(_readable(raw, pictures, found.folders, on_bad))
        yield Sample(
            id=f"{adapter_name}-{raw.id or number}", question=raw.question, answer=raw.answer,
            kind="text", images=images,
        )  # fmt: skip


def _readable(
    raw: RawQuestion, pictures: Pictures, folders: Sequence[Path], on_bad: Callable[[BadRow], None]
) -> Iterator[bytes]:
    """The pictures there are: a question without its own is still compared by its text."""
    for reference in raw.images:
        try:
            yield pictures.load(reference, folders)
        except BadRow as bad:
            on_bad(bad)


def token_counter(model: str) -> Callable[[Sample], int]:
    """Counts prompt tokens with a model's own tokenizer; pictures are estimated by their size."""
    from observe_r1.data.importing import estimate_tokens

    encode: Callable[[str], Any] = _load_tokenizer(model)

    def count(sample: Sample) -> int:
        text = "\n".join((sample.question, *sample.options))
        pictures_only = Sample(id="", question="", answer="", kind="text", images=sample.images)
        return len(encode(text).ids) + estimate_tokens(pictures_only)

    return count


def _load_tokenizer(model: str) -> Callable[[str], Any]:
    from tokenizers import Tokenizer

    path = Path(model) / "tokenizer.json"
    try:
        found = (
            Tokenizer.from_file(str(path)) if path.exists() else Tokenizer.from_pretrained(model)
        )
    except Exception as error:  # what the tokenizers library raises for whatever goes wrong
        raise DataError(
            f"no tokenizer can be loaded from '{model}': {error}. Name a folder with a "
            "tokenizer.json, or leave --tokenizer out to estimate lengths."
        ) from None
    return found.encode
