"""Named objects that several machines can see: a folder, or a bucket through fsspec.

    put_new   of several writers of one name exactly one succeeds: claims and results
    put       the last writer wins: signs of life

Every call is tried a bounded number of times; then the user is told which place refused what. An
object is seen whole or not at all.
"""

import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from observe_r1.errors import ConfigError, RunError

T = TypeVar("T")

LONGEST_WAIT_SECONDS = 8.0


class Place(Protocol):
    """What a bucket is made of; errors are whatever the place raises."""

    def create(self, name: str, data: bytes) -> None:
        """Raises FileExistsError when the name is taken."""
        ...

    def write(self, name: str, data: bytes) -> None: ...

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def names(self, prefix: str) -> list[str]:
        """What stands directly under ``prefix``, without it."""
        ...

    def remove(self, name: str) -> None: ...


class Bucket:
    """A place with patience.

    Example:
        bucket = open_bucket("s3://my-bucket/probe")
        if bucket.put_new("claims/000017.0", b"node7-4123"):
            ...
    """

    def __init__(
        self, url: str, place: Place, *, tries: int = 6, first_wait_seconds: float = 0.5
    ) -> None:
        self.url = url
        self._place = place
        self._tries = tries
        self._first_wait = first_wait_seconds

    def put_new(self, name: str, data: bytes) -> bool:
        """Write unless the name is taken; whether this call wrote it."""
        tried = 0

        def create() -> bool:
            nonlocal tried
            tried += 1
            try:
                self._place.create(name, data)
            except FileExistsError:
                # An earlier try may have arrived though its answer did not.
                return tried > 1 and self._place.read(name) == data
            return True

        return self._patiently(f"writing {name}", create)

    def put(self, name: str, data: bytes) -> None:
        self._patiently(f"writing {name}", lambda: self._place.write(name, data))

    def get(self, name: str) -> bytes | None:
        """The object, or None where there is none."""

        def read() -> bytes | None:
            try:
                return self._place.read(name)
            except FileNotFoundError:
                return None

        return self._patiently(f"reading {name}", read)

    def names(self, prefix: str) -> list[str]:
        """The names directly under ``prefix``, sorted."""

        def find() -> list[str]:
            try:
                return sorted(self._place.names(prefix))
            except FileNotFoundError:
                return []

        return self._patiently(f"listing {prefix}/", find)

    def discard(self, name: str) -> None:
        """Remove what is no longer needed; a place that keeps everything may keep it."""
        try:
            self._place.remove(name)
        except Exception:
            return

    def check_exclusive(self) -> None:
        """Refuse a place in which two writers of one name would both succeed."""
        name = f"checks/{uuid.uuid4().hex}"
        first, second = self.put_new(name, b"first"), self.put_new(name, b"second")
        self.discard(name)
        if not first or second:
            raise RunError(
                f"{self.url} lets a second writer replace what a first one wrote, so workers could "
                "not tell whose a block is. It needs writes that fail when the name is taken "
                "(If-None-Match on S3); use a shared folder instead."
            )

    def _patiently(self, what: str, call: Callable[[], T]) -> T:
        for attempt in range(1, self._tries + 1):
            try:
                return call()
            except Exception as error:  # every cloud has errors of its own; none is swallowed
                if attempt == self._tries:
                    raise RunError(
                        f"{self.url} refused {what} {attempt} times, the last time with "
                        f"{type(error).__name__}: {error}. Check that the place exists and that "
                        "this machine may write there; then run the same command again: it goes "
                        "on from what is stored."
                    ) from error
                longest = min(LONGEST_WAIT_SECONDS, self._first_wait * 2 ** (attempt - 1))
                time.sleep(longest * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")


def open_bucket(url: str, *, tries: int = 6, first_wait_seconds: float = 0.5) -> Bucket:
    """A folder (``/shared/probe``) or an address that fsspec knows (``s3://bucket/probe``)."""
    scheme, has_scheme, rest = url.partition("://")
    place: Place = _Folder(Path(rest if has_scheme else url).expanduser())
    if has_scheme and scheme not in ("file", "local"):
        place = _open_remote(url)
    return Bucket(url, place, tries=tries, first_wait_seconds=first_wait_seconds)


class _Folder:
    """Files; a new one is linked into place under its name, which fails when the name is taken."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, name: str, data: bytes) -> None:
        part = self._part(name, data)
        try:
            os.link(part, self.root / name)
        finally:
            part.unlink()

    def write(self, name: str, data: bytes) -> None:
        os.replace(self._part(name, data), self.root / name)

    def _part(self, name: str, data: bytes) -> Path:
        folder = (self.root / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(path, 0o644)
        return Path(path)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def names(self, prefix: str) -> list[str]:
        return [entry for entry in os.listdir(self.root / prefix) if not entry.startswith(".")]

    def remove(self, name: str) -> None:
        (self.root / name).unlink()


class _Remote:
    """Objects behind fsspec."""

    def __init__(self, files: Any, root: str) -> None:
        self.files = files
        self.root = root.rstrip("/")

    def create(self, name: str, data: bytes) -> None:
        self.files.pipe_file(f"{self.root}/{name}", data, mode="create")

    def write(self, name: str, data: bytes) -> None:
        self.files.pipe_file(f"{self.root}/{name}", data)

    def read(self, name: str) -> bytes:
        return self.files.cat_file(f"{self.root}/{name}")

    def names(self, prefix: str) -> list[str]:
        found = self.files.ls(f"{self.root}/{prefix}", detail=False)
        return [path.rstrip("/").rpartition("/")[2] for path in found]

    def remove(self, name: str) -> None:
        self.files.rm_file(f"{self.root}/{name}")


def _open_remote(url: str) -> _Remote:
    import fsspec

    try:
        # Other machines write too: a remembered listing would hide their blocks.
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise ConfigError(
            f"{url} needs a package that is not installed here: {error}. For s3:// addresses: "
            "pip install s3fs."
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"{url} is no place that can be shared: {error}. Give a folder that all machines see, "
            "or an address such as s3://bucket/folder."
        ) from None
    return _Remote(files, root)
