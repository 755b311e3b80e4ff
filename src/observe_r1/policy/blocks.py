"""Packed rows as one FlexAttention call, however many rows and branches there are.

    row      0  0  0  0  0  0  0   1  1  1  1  1   2        a token of row 2 is padding
    branch  -1 -1 -1  0  0  1  1  -1 -1  0  0  1  -1

A key is seen by the later queries of its row if it is in the prompt (branch -1) or in the query's
own branch. Work is saved by whole blocks of 128 × 128 tokens in which nothing is seen. Rows are
padded up to one of few lengths, at most a thirty-second longer, so that kernels are compiled and
memory is laid out for few shapes.

For a GPU: on a CPU FlexAttention has no backward pass.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers.integrations.flex_attention import flex_attention_forward

from observe_r1.policy.attention import by_kind_of_layer, placeholder
from observe_r1.policy.family import Family
from observe_r1.policy.pack import JoinedRows

BLOCK = 128
"""Tokens along each side of FlexAttention's blocks."""

ENOUGH = 160 * 1024
"""Bytes of shared memory a block of threads may have, from which on PyTorch's own tiles fit."""
SMALL_TILES = {
    "fwd_BLOCK_M": 32, "fwd_BLOCK_N": 32, "fwd_num_stages": 1, "bwd_BLOCK_M1": 32,
    "bwd_BLOCK_N1": 32, "bwd_BLOCK_M2": 32, "bwd_BLOCK_N2": 32, "bwd_num_stages": 1,
}  # fmt: skip
"""For GPUs of 24 to 48 GB, which have less."""

logger = logging.getLogger(__name__)

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class BlockLayout:
    """One call over all rows."""

    mask: BlockMask
    options: Mapping[str, int] | None = None
    """How large the kernel's tiles are; None: as PyTorch chooses."""

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **settings: Any
    ) -> Tensor:
        # Alike in every pass, whether a cache has laid keys out or not: one version of the kernel.
        key, value = key.contiguous(), value.contiguous()
        return flex_attention_forward(
            module, query, key, value, self.mask, kernel_options=self.options, **settings
        )[0]


def bucket(length: int) -> int:
    """The next of few lengths, all multiples of a block, and never a single block: a kernel would
    be compiled for that one alone.

    Example: 100 → 256, 8000 → 8064, 9000 → 9216, 20000 → 20480
    """
    step = max(BLOCK, 2 ** (length.bit_length() - 6))
    return max(2 * BLOCK, -(-length // step) * step)


def block_masks(
    joined: JoinedRows, family: Family, device: torch.device,
    options: Mapping[str, int] | None = None,
) -> Tensor | dict[str, Tensor]:  # fmt: skip
    """The placeholder for these rows, or one for each kind of layer."""
    length = len(joined.ids_S)

    def mask(window: int | None) -> Tensor:
        sees = mask_mod(joined, family, window, device)
        blocks = create_block_mask(sees, None, None, length, length, device=device)
        return placeholder(BlockLayout(blocks, options), length, length, device)

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


Kernel = Literal["pieces", "blocks"]
Try = Callable[[Mapping[str, int] | None], None]


def settle_kernel(
    width: int, dtype: torch.dtype, device: torch.device, attempt: Try | None = None
) -> tuple[Kernel, Mapping[str, int] | None]:
    """Whether this GPU has room for FlexAttention's kernels at this width of a head, and with which
    tiles. Where it may not, they are tried: otherwise the first update would end in an error of the
    compiler's."""
    room = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
    if room >= ENOUGH:
        return "blocks", None
    attempt = attempt or (lambda options: attend_once(width, dtype, device, options))
    problem = None
    for options in (None, SMALL_TILES):
        try:
            attempt(options)
            return "blocks", options
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # the compiler's own kinds, which change their names
            problem = error
    logger.warning(
        "FlexAttention cannot be computed on this GPU with heads of %d numbers (%s), so packed "
        "rows are computed in pieces: slower, and the same.",
        width, str(problem).splitlines()[0] if str(problem) else type(problem).__name__,
    )  # fmt: skip
    return "pieces", None


def attend_once(
    width: int, dtype: torch.dtype, device: torch.device, options: Mapping[str, int] | None
) -> None:
    """Forward and backward of a short text, as a model would call it."""

    def states(heads: int) -> Tensor:
        shape = (1, heads, 2 * BLOCK, width)
        return torch.ones(shape, dtype=dtype, device=device, requires_grad=True)

    def sees(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return q >= k

    blocks = create_block_mask(sees, None, None, 2 * BLOCK, 2 * BLOCK, device=device)
    layout = BlockLayout(blocks, options)
    layout.attend(nn.Identity(), states(2), states(1), states(1)).sum().backward()
