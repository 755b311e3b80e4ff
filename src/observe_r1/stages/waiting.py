"""What the first process does alone, and how the others wait for it.

    process 0   work ──────────────────────────▶ result
                .alive  1, 2, 3, …
    others      is the result there? has the sign of life changed?

No process group is needed, so this may take hours, as drawing traces does.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from observe_r1.errors import RunError
from observe_r1.stages.environment import is_main_process

WAIT_SECONDS = 1.0
SIGN_SECONDS = 5.0


def done_by_first(work: Callable[[], None], folder: Path, result: str) -> None:
    """Run ``work``, which writes ``result`` in the stage's folder, in the first process; the others
    return when it is there, and give up when the first gives no sign of life any more."""
    sign = folder / ".alive"
    if not is_main_process():
        wait_for(folder / result, sign)
    elif os.environ.get("WORLD_SIZE", "1") == "1":
        work()
    else:
        with alive(sign):
            work()


@contextmanager
def alive(sign: Path) -> Iterator[None]:
    """A file whose content changes every few seconds, until the end of the block."""
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(SIGN_SECONDS if count else 0.0):
            count += 1
            sign.parent.mkdir(parents=True, exist_ok=True)
            sign.write_text(str(count))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sign.unlink(missing_ok=True)


def wait_for(result: Path, sign: Path) -> None:
    """Until the result is there, or nothing has been heard for too long."""
    from observe_r1.shared.claims import Silences
    from observe_r1.train.distribute import PEER_MINUTES, peer_timeout

    silences, patience = Silences(), peer_timeout().total_seconds()
    while not result.exists():
        said = sign.read_bytes() if sign.exists() else None
        if silences.seconds("process 0", said) > patience:
            raise RunError(
                f"process 0 has neither written {result} nor given a sign of life for "
                f"{patience / 60:g} minutes ({PEER_MINUTES}). It has failed (its own output says "
                "why), or this machine does not see its --out. Start all processes again with "
                "--resume; what was drawn is kept."
            )
        time.sleep(WAIT_SECONDS)
