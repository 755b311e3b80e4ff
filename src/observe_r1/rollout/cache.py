"""Keys and values while groups decode: every prompt once, then what each branch adds.

    prompts    [P, heads, L, width]      computed by one prefill, read by all branches of a group
    own        [B, heads, room, width]   one row a live sequence, room for all its tokens

A decoding step reads each prompt once a group instead of G times, which is most of what an
attention step over a long prompt and image costs; nothing is copied when groups branch or tokens
are added. Scores against both parts share one softmax, so the result is plain attention over
[prompt | own tokens].

Where a token goes is a number on the device, so that a step can be recorded and replayed; how much
of the room is looked at is a shape, and changes only between recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer


class BranchedLayer(DynamicLayer):
    """The cache of one layer of the model."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]  # there from the start
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self, prompts: tuple[Tensor, Tensor], num_sequences: int, room: int, place: Tensor
    ) -> None:
        super().__init__()
        self.prompt_keys, self.prompt_values = prompts
        _, heads, _, width = self.prompt_keys.shape
        # Zeros, because a place that nobody sees yet still takes part in sums, times zero.
        self.keys = self.prompt_keys.new_zeros(num_sequences, heads, room, width)
        self.values = self.keys.new_zeros(num_sequences, heads, room, self.prompt_values.shape[-1])
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True
        self.place = place
        self.visible = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Adds one token a sequence; returns only what the sequences have added so far."""
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys[:, :, : self.visible], self.values[:, :, : self.visible]

    def get_seq_length(self) -> int:
        return self.prompt_keys.shape[-2] + self.visible

    def keep(self, sequences: Tensor, prompts: Tensor) -> None:
        """Go on with these sequences and these prompts only."""
        self.prompt_keys = self.prompt_keys[prompts]
        self.prompt_values = self.prompt_values[prompts]
        self.keys, self.values = self.keys[sequences], self.values[sequences]


class BranchedCache(Cache):
    """One ``BranchedLayer`` a layer of the model."""

    def __init__(
        self, prefilled: Sequence[tuple[Tensor, Tensor]], num_sequences: int, room: int
    ) -> None:
        device = prefilled[0][0].device
        self.place = torch.zeros(1, dtype=torch.long, device=device)
        """Where the next token goes: how many tokens the sequences have added."""
        self.branched = [BranchedLayer(p, num_sequences, room, self.place) for p in prefilled]
        super().__init__(layers=list(self.branched))

    def look_at(self, visible: int) -> None:
        """How much of the room the coming steps look at, those of the future masked."""
        for layer in self.branched:
            layer.visible = visible

    def keep(self, sequences: Tensor, prompts: Tensor) -> None:
        for layer in self.branched:
            layer.keep(sequences, prompts)


class Branches:
    """Which prompt each live sequence branches from.

    Sequences of one prompt are laid side by side as rows of one matrix, so that the scores of a
    whole group against its prompt are one product.

    Example (P = 2; the first group has lost one of three sequences):
        prompt_B [0, 0, 1, 1, 1]   width 3   fill [0, 1, 1 | 2, 3, 4]   back [0, 1 | 3, 4, 5]
    """

    def __init__(self, prompt_B: Tensor) -> None:
        self.prompt_B = prompt_B
        self.num_prompts = int(prompt_B[-1]) + 1
        counts = torch.bincount(prompt_B, minlength=self.num_prompts)
        self.width = int(counts.max())
        self.is_full = len(prompt_B) == self.num_prompts * self.width
        starts = counts.cumsum(0) - counts
        places = torch.arange(len(prompt_B), device=prompt_B.device)
        slots = torch.minimum(places[: self.width], counts[:, None] - 1)
        self.fill = (starts[:, None] + slots).flatten()
        """[P·width] which sequence is in a slot; empty ones repeat the group's last, unread."""
        self.back = prompt_B * self.width + places - starts[prompt_B]
        """[B] which slot a sequence is in."""

    def by_group(self, states: Tensor) -> Tensor:
        """[B, heads, rep, n] → [P, heads, width·rep, n]."""
        _, heads, rep, size = states.shape
        filled = states if self.is_full else states.index_select(0, self.fill)
        grouped = filled.unflatten(0, (self.num_prompts, self.width))
        return grouped.transpose(1, 2).reshape(self.num_prompts, heads, self.width * rep, size)

    def by_sequence(self, grouped: Tensor, rep: int) -> Tensor:
        """The inverse of ``by_group``."""
        apart = grouped.unflatten(2, (self.width, rep)).transpose(1, 2).flatten(0, 1)
        return apart if self.is_full else apart.index_select(0, self.back)


@dataclass(frozen=True, slots=True, eq=False)
class BranchLayout:
    """One decoding step: what each sequence sees of its prompt and of its own tokens."""

    cache: BranchedCache
    branches: Branches
    prompt_bias: Tensor | None
    """[P, 1, 1, L] added to scores: -inf for pads and beyond the window; None: all visible."""
    own_bias: Tensor | None
    """[visible] the same for the sequences' own tokens, those of the future included."""

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
        scaling: float | None = None, **settings: object,
    ) -> Tensor:  # fmt: skip
        """One query a sequence over [its prompt | its own tokens]."""
        if settings.get("softcap") is not None:
            raise NotImplementedError("attention with soft-capped scores")
        layer = self.cache.branched[int(module.layer_idx)]  # type: ignore[arg-type]
        by_group, by_sequence = self.branches.by_group, self.branches.by_sequence
        batch, _, _, width = query.shape
        heads, length = key.shape[1], layer.prompt_keys.shape[-2]
        scaled = (query * (scaling or width**-0.5)).view(batch, heads, -1, width)
        at_prompt = by_group(scaled) @ layer.prompt_keys.transpose(-1, -2)
        if self.prompt_bias is not None:
            at_prompt = at_prompt + self.prompt_bias.to(at_prompt.dtype)
        at_own = scaled @ key.transpose(-1, -2)
        if self.own_bias is not None:
            at_own = at_own + self.own_bias.to(at_own.dtype)
        # The prompt's scores, which are many, stay where they are; the few own ones come to them.
        scores = torch.cat([at_prompt, by_group(at_own)], -1)
        shares = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        of_prompt = by_sequence(shares[..., :length] @ layer.prompt_values, scaled.shape[2])
        of_own = by_sequence(shares[..., length:], scaled.shape[2]) @ value
        return (of_prompt + of_own).reshape(batch, 1, -1, value.shape[-1])
