"""Packed rows as one FlexAttention call, however many rows and branches there are.

    row      0  0  0  0  0  0  0   1  1  1  1  1   2        a token of row 2 is padding
    branch  -1 -1 -1  0  0  1  1  -1 -1  0  0  1  -1

A key is seen by the later queries of its row if it is in the prompt (branch -1) or in the query's
own branch. Work is saved by whole blocks of 128 × 128 tokens in which nothing is seen. Rows are
padded up to one of few lengths, at most a thirty-second longer, so that kernels are compiled and
memory is laid out for few shapes.

For a GPU: on a CPU FlexAttention has no backward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers.integrations.flex_attention import flex_attention_forward

from observe_r1.policy.attention import by_kind_of_layer, placeholder
from observe_r1.policy.family import Family
from observe_r1.policy.pack import JoinedRows

BLOCK = 128
"""Tokens along each side of FlexAttention's blocks."""

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class BlockLayout:
    """One call over all rows."""

    mask: BlockMask

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **settings: Any
    ) -> Tensor:
        return flex_attention_forward(module, query, key, value, self.mask, **settings)[0]


def bucket(length: int) -> int:
    """The next of few lengths, all multiples of a block.

    Example: 100 → 128, 8000 → 8064, 9000 → 9216, 20000 → 20480
    """
    step = max(BLOCK, 2 ** (length.bit_length() - 6))
    return -(-length // step) * step


def block_masks(
    joined: JoinedRows, family: Family, device: torch.device
) -> Tensor | dict[str, Tensor]:
    """The placeholder for these rows, or one for each kind of layer."""
    length = len(joined.ids_S)

    def mask(window: int | None) -> Tensor:
        sees = mask_mod(joined, family, window, device)
        blocks = create_block_mask(sees, None, None, length, length, device=device)
        return placeholder(BlockLayout(blocks), length, length, device)

    return by_kind_of_layer(family, mask)


def mask_mod(
    joined: JoinedRows, family: Family, window: int | None, device: torch.device
) -> MaskMod:
    """Whether query q sees key k, as FlexAttention asks it."""
    row, branch = joined.row_S.to(device), joined.branch_S.to(device)
    position, image = joined.positions[0].to(device), joined.blocks_S.to(device)

    def sees(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = (q >= k) & ((branch[k] == -1) | (branch[k] == branch[q]))
        if family.bidirectional_images:
            seen = seen | ((image[q] == image[k]) & (image[q] >= 0))
        if window is not None:
            seen = seen & (position[q] - position[k] < window)
        return seen & (row[q] == row[k])

    return sees
