"""A vision tower's attention, all pictures and windows of one length in one call.

    patches   [ 64 | 64 | 64 | … | 32 | 32 | 16 ]     Qwen2.5-VL: windows of one or several pictures
    calls     [ all of 64 ]  [ all of 32 ]  [ 16 ]

Qwen's towers see all pictures of a batch as one sequence. Without the flash-attn package,
Transformers cuts it and calls attention once a window and layer: a picture of 1,296 visual tokens
has 81 windows, and a GPU then waits for the host. Windows of one length are a batch, whatever
computes them.

A tower hands over where its windows end only to attention whose name says "flash"; so does ours.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from observe_r1.policy.family import inner_model

NAME = "observe_r1_flash_windows"
"""Under which the attention function is registered."""
TOWERS = frozenset(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
"""Model types whose towers see pictures as one sequence, tested one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Where the windows of each length are.

    Example: ends at 0, 2, 5, 7 → places of length 2 [[0, 1], [5, 6]], of length 3 [[2, 3, 4]]
    """

    places: tuple[Tensor, ...]
    """[n, length] each."""
    order: Tensor | None
    """[S] from the sequence to the places one after the other; None: they are in order."""

    @classmethod
    def between(cls, ends: Tensor) -> "Windows":
        """``ends`` [n + 1]: 0, then where each window ends."""
        starts = ends[:-1].long()
        lengths = ends[1:] - ends[:-1]
        places = tuple(
            starts[lengths == length][:, None] + torch.arange(length, device=ends.device)
            for length in lengths.unique().tolist()
            if length
        )
        if len(places) == 1:
            return cls(places, None)
        return cls(places, torch.cat([p.flatten() for p in places]).argsort())

    def cut(self, states: Tensor, places: Tensor) -> Tensor:
        """[1, heads, S, width] → [n, heads, length, width]."""
        of_these = states[0] if self.order is None else states[0][:, places.flatten()]
        return of_these.unflatten(1, places.shape).transpose(0, 1)

    def join(self, parts: list[Tensor]) -> Tensor:
        """[n, length, heads, width] each → [1, S, heads, width]."""
        flat = torch.cat([part.flatten(0, 1) for part in parts])
        return flat[None] if self.order is None else flat[None, self.order]


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    *, cu_seq_lens_q: Tensor, scaling: float | None = None, dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """The registered function; ``cu_seq_lens_q`` [n + 1] says where windows end."""
    windows = _windows_of(cu_seq_lens_q)
    parts = []
    for places in windows.places:
        q, k, v = (windows.cut(states, places) for states in (query, key, value))
        parts.append(sdpa_attention_forward(
            module, q, k, v, attention_mask, dropout=dropout, scaling=scaling, is_causal=False
        )[0])  # fmt: skip
    return windows.join(parts), None


AttentionInterface.register(NAME, attention)


def _windows_of(ends: Tensor) -> Windows:
    """Kept with the tensor that a tower hands to all its layers: lengths are read from the device
    once a pass."""
    known = getattr(ends, "observe_r1_windows", None)
    if known is None:
        known = Windows.between(ends)
        ends.observe_r1_windows = known  # type: ignore[attr-defined]
    return known


def batch_windows(model: Any) -> None:
    """Let the model's vision tower compute its attention so, where it is known how.

    The tower gets a configuration of its own. In the model's, whoever builds another model of it,
    or calls set_attn_implementation, would be asked for flash-attn because of the name.
    """
    if model.config.model_type not in TOWERS:
        return
    tower = inner_model(model).visual
    shared, own = tower.config, copy.copy(tower.config)
    own._attn_implementation = NAME
    for module in tower.modules():
        if getattr(module, "config", None) is shared:
            module.config = own
