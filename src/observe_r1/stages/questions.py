"""What ``--data`` names: a data folder, or the built-in puzzles."""

from collections.abc import Sequence
from pathlib import Path

from observe_r1.data.store import read_samples
from observe_r1.errors import DataError
from observe_r1.types import Sample

PUZZLES = "puzzles"


def load_questions(data: str) -> Sequence[Sample]:
    """The samples of a data folder, or of the built-in training set.

    Example:
        load_questions("puzzles")
    """
    if data == PUZZLES:
        from observe_r1.data.puzzles import builtin

        return builtin()
    folder = Path(data)
    if not folder.exists():
        raise DataError(
            f"there is no data folder {data}. Make one with 'observe-r1 data build SRC --as ADAPTER "
            f"--model M --out {data}', or use the built-in data: --data {PUZZLES}."
        )
    return read_samples(folder)
