"""Copies of the user's own code beside a run: what was rewarded can be read long after.

code/my_reward.py     as the run was begun with
code/my_reward-2.py   as it went on, mended
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from observe_r1.config.order import user_code_of
from observe_r1.config.run import RunConfig
from observe_r1.records import write_atomic

CODE = "code"

logger = logging.getLogger(__name__)


def keep_user_files(run: RunConfig, out: Path) -> None:
    """Keep what is not kept yet; a file that has changed since the run was begun is said."""
    for file in user_files(run):
        content, kept = file.read_bytes(), kept_versions(out, file)
        if content in (path.read_bytes() for path in kept):
            continue
        number = f"-{len(kept) + 1}" if kept else ""
        (out / CODE).mkdir(exist_ok=True)
        write_atomic(out / CODE / f"{file.stem}{number}.py", content)
        if kept:
            logger.warning(
                "%s is another than the run was begun with; both are in %s", file, out / CODE
            )


def changed_files(run: RunConfig, out: Path) -> list[str]:
    """Those of which the run has a copy, and none as they are now."""
    return [
        str(file)
        for file in user_files(run)
        if (kept := kept_versions(out, file))
        and file.read_bytes() not in (path.read_bytes() for path in kept)
    ]


def user_files(run: RunConfig) -> Iterator[Path]:
    """Files of code and puzzle families that the run names and that are there."""
    places: set[str] = set()
    for stage in run.active_stages:
        places.update(user_code_of(stage))
        questions = getattr(stage, "questions", None)
        places.update(name for name in getattr(questions, "families", ()) if ":" in name)
    files = {Path(place.rpartition(":")[0]).expanduser() for place in places}
    yield from sorted(file for file in files if file.is_file())


def kept_versions(out: Path, file: Path) -> list[Path]:
    first = out / CODE / f"{file.stem}.py"
    return [first, *sorted((out / CODE).glob(f"{file.stem}-*.py"))] if first.exists() else []
