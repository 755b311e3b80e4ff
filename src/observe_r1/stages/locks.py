"""One process at a time, among those of one machine (or of all that share the folder)."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
"""What network file systems answer that keep no locks: there everyone is let in."""


@contextmanager
def only_one(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whoever comes second waits, or is told False; a process that dies lets go by itself.

    Example:
        with only_one(out / "ladder.lock"): build()
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        yield True
