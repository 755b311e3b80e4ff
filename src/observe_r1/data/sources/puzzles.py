"""The built-in puzzles as a source: ``puzzles``, or families by name, ``counting,dice``.

puzzles                      the mix the built-in model was trained on
counting,maze --limit 500    those families, in turns, at all their levels
"""

from collections.abc import Iterator

from observe_r1.data.columns import to_row
from observe_r1.data.sources.files import FoundRow
from observe_r1.errors import ConfigError


def puzzle_rows(source: str, *, count: int, seed: int) -> Iterator[FoundRow]:
    """``count`` puzzles as rows of our own format: families in turns, levels evenly.

    Example:
        rows = puzzle_rows("counting,dice", count=1000, seed=7)
    """
    from observe_r1.data.puzzles import MIX, get_family, make_sample

    names = list(MIX) if source == "puzzles" else [name.strip() for name in source.split(",")]
    if not all(names):
        raise ConfigError(f"'{source}' names no puzzle family. Write --as puzzles counting,dice.")
    for number in range(count):
        name = names[number % len(names)]
        index = number // len(names)
        levels = len(get_family(name).levels)
        sample = make_sample(name, seed, index, index % levels)
        yield FoundRow(f"{name}:{index}", to_row(sample), ())
