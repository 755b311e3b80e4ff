"""Where questions come from: one adapter a file, each with an example row on top.

To add one: a file with ``read_row`` and ``ADAPTER``, and a name in the tuple below.
"""

from observe_r1.data.sources import (
    geometry3k,
    ladder,
    mathv360k,
    mathverse,
    mathvision,
    mathvista,
    mmmu,
    observe_r1_jsonl,
    polymath,
    scemqa,
    sharegpt,
    table,
    trl,
    we_math,
)
from observe_r1.data.sources.base import Adapter, BadRow, RawQuestion
from observe_r1.errors import ConfigError

_MODULES = (
    mathvision, mathvista, mathverse, we_math, polymath, scemqa, mathv360k, geometry3k, mmmu,
    ladder, table, observe_r1_jsonl, sharegpt, trl,
)  # fmt: skip

ADAPTERS: dict[str, Adapter] = {module.ADAPTER.name: module.ADAPTER for module in _MODULES}

__all__ = ["ADAPTERS", "Adapter", "BadRow", "RawQuestion", "get_adapter"]


def get_adapter(name: str) -> Adapter:
    """The adapter of that name."""
    if name not in ADAPTERS:
        raise ConfigError(
            f"no adapter named '{name}'. Known adapters: {', '.join(ADAPTERS)}, puzzles. "
            "A format of your own: --as table with --column question=NAME and so on."
        )
    return ADAPTERS[name]
