"""Who sees whom in packed rows, and the attention that computes exactly that and nothing else.

    row      [ prompt | c0 | c1 | c2 ]      every completion sees the prompt and itself
    rows     [ row 0 | row 1 | … | pad ]    no row sees another

A dense mask over this would compute S × S scores, of which most are masked: with a prompt of 120
tokens and 8 completions of 80, four times as many as there are. Two kernels leave them out:

    pieces   a prompt with itself, its completions side by side with [prompt | own]: ordinary calls
             of Transformers' SDPA attention (``pieces.py``); everywhere
    blocks   FlexAttention with a block mask made of row and branch numbers (``blocks.py``): one
             call however many rows; on a GPU

Transformers takes any 4-D mask as it is and hands it to the attention function, which we register
through its public interface. Our mask is a placeholder that carries the layout. Were it ever used
as a mask, nothing would be visible and the result not a number: it cannot fail silently.

What differs between families: in some, tokens of one image see each other in both directions; and
in sliding layers the window counts positions, so a completion far from its prompt in the row still
sees the end of it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from observe_r1.policy.family import Family

NAME = "observe_r1"
"""Under which the attention function is registered."""


class Layout(Protocol):
    """How one attention call is computed; what a placeholder mask carries."""

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **settings: Any
    ) -> Tensor:
        """[B, heads, S, width] each → [B, S, heads, width]."""
        ...


def placeholder(layout: Layout, num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """A mask that shows nothing, takes no memory and carries ``layout``."""
    mask = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=device).expand(
        1, 1, num_queries, num_keys
    )
    mask.attention_layout = layout  # type: ignore[attr-defined]
    return mask


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    **settings: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """The registered function: as the layout says, or plain SDPA where there is none."""
    layout = getattr(attention_mask, "attention_layout", None)
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    return layout.attend(module, query, key, value, **settings), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def by_kind_of_layer(
    family: Family, mask: Callable[[int | None], Tensor]
) -> Tensor | dict[str, Tensor]:
    """One mask, or one for each kind of layer where some have a window."""
    if family.sliding_window is None:
        return mask(None)
    return {"full_attention": mask(None), "sliding_attention": mask(family.sliding_window)}
