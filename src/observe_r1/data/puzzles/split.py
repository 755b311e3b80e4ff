"""Training and held-out puzzles never meet: a hash of its content says where an item belongs.

Small families repeat themselves (one row of two digits has 57 constructions), so streams with
different seeds still share items. The hash decides instead, the same everywhere: one item in eight
is held out, and neither the built-in model nor any recipe is ever trained on it.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from typing import Literal

from observe_r1.data.puzzles.base import Family, Item, make_item

Split = Literal["train", "held_out"]

_HELD_OUT_SHARE = 8


def split_of(item: Item) -> Split:
    """The side an item is on; equal constructions, so equal pictures and questions, agree."""
    content = json.dumps([item.family.name, item.construction], sort_keys=True)
    digest = hashlib.sha256(content.encode()).digest()
    return "held_out" if digest[0] % _HELD_OUT_SHARE == 0 else "train"


def stream(families: Sequence[Family], seed: int, split: Split) -> Iterator[Item]:
    """Endless items of one side, families and levels mixed evenly; pure in its arguments."""
    rng = random.Random(f"stream/{seed}/{split}")
    for index in itertools.count():
        family = rng.choice(families)
        level = rng.randrange(len(family.levels))
        item = make_item(family, seed, index, level)
        if split_of(item) == split:
            yield item
