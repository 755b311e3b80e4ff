"""Keys and values while groups decode: every prompt once, then what each branch adds.

    prompts    [P, heads, L, width]      computed by one prefill, read by all branches of a group
    own        [B, heads, room, width]   one row a live sequence, room for all its tokens

A decoding step reads each prompt once a group instead of G times, which is most of what an
attention step over a long prompt and image costs; nothing is copied when groups branch or tokens
are added. Scores against both parts share one softmax, so the result is plain attention over
[prompt | own tokens].
"""

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer


class BranchedLayer(DynamicLayer):
    """The cache of one layer of the model."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]  # there from the start
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, prompts: DynamicLayer, num_sequences: int, room: int) -> None:
        super().__init__()
        assert prompts.keys is not None and prompts.values is not None  # the prefill filled them
        self.prompt_keys, self.prompt_values = prompts.keys, prompts.values
        _, heads, _, width = self.prompt_keys.shape
        self.keys = self.prompt_keys.new_empty(num_sequences, heads, room, width)
        self.values = self.keys.new_empty(num_sequences, heads, room, self.prompt_values.shape[-1])
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True
        self.length = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Adds one token a sequence; returns only what the sequences have added so far."""
        self.keys[:, :, self.length : self.length + 1] = key_states
        self.values[:, :, self.length : self.length + 1] = value_states
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        return self.prompt_keys.shape[-2] + self.length

    def keep(self, sequences: Tensor, prompts: Tensor) -> None:
        """Go on with these sequences and these prompts only."""
        self.prompt_keys, self.prompt_values = (
            self.prompt_keys[prompts],
            self.prompt_values[prompts],
        )
        self.keys = self._kept(self.keys, sequences)
        self.values = self._kept(self.values, sequences)

    def _kept(self, states: Tensor, sequences: Tensor) -> Tensor:
        kept = states.new_empty(len(sequences), *states.shape[1:])
        kept[:, :, : self.length] = states[sequences, :, : self.length]
        return kept


class BranchedCache(Cache):
    """One ``BranchedLayer`` a layer of the model."""

    def __init__(self, prefilled: Cache, num_sequences: int, room: int) -> None:
        self.branched = [BranchedLayer(p, num_sequences, room) for p in prefilled.layers]  # type: ignore[arg-type]
        super().__init__(layers=list(self.branched))

    def keep(self, sequences: Tensor, prompts: Tensor) -> None:
        for layer in self.branched:
            layer.keep(sequences, prompts)


def prompt_cache(num_layers: int) -> Cache:
    """What the prefill fills. Sliding layers keep everything too; their window is in the mask."""
    return Cache(layers=[DynamicLayer() for _ in range(num_layers)])


class BranchLayout:
    """Which prompt each live sequence branches from, and what it sees of it.

    Sequences of one prompt are laid side by side as rows of one matrix, so that the scores of a
    whole group against its prompt are one product.

    Example (P = 2; the first group has lost one of three sequences):
        prompt_B [0, 0, 1, 1, 1]   slot_B [0, 1, 0, 1, 2]   width 3
    """

    def __init__(
        self, cache: BranchedCache, prompt_B: Tensor, prompt_bias: Tensor | None,
        own_bias: Tensor | None,
    ) -> None:  # fmt: skip
        self.cache = cache
        self.prompt_B = prompt_B
        self.num_prompts = int(prompt_B[-1]) + 1
        counts = torch.bincount(prompt_B, minlength=self.num_prompts)
        self.width = int(counts.max())
        starts = counts.cumsum(0) - counts
        self.slot_B = torch.arange(len(prompt_B), device=prompt_B.device) - starts[prompt_B]
        self.is_full = len(prompt_B) == self.num_prompts * self.width
        self.prompt_bias = prompt_bias
        """[P, 1, 1, L] added to scores: -inf for pads and beyond the window; None: all visible."""
        self.own_bias = own_bias
        """[t] the same for the sequences' own tokens."""

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
        scaling: float | None = None, **settings: object,
    ) -> Tensor:  # fmt: skip
        """One query a sequence over [its prompt | its own tokens]."""
        if settings.get("softcap") is not None:
            raise NotImplementedError("attention with soft-capped scores")
        layer = self.cache.branched[int(module.layer_idx)]  # type: ignore[arg-type]
        batch, _, _, width = query.shape
        heads = key.shape[1]
        scaled = (query * (scaling or width**-0.5)).view(batch, heads, -1, width)
        at_prompt = self._by_group(scaled) @ layer.prompt_keys.transpose(-1, -2)
        if self.prompt_bias is not None:
            at_prompt = at_prompt + self.prompt_bias.to(at_prompt.dtype)
        at_own = scaled @ key.transpose(-1, -2)
        if self.own_bias is not None:
            at_own = at_own + self.own_bias.to(at_own.dtype)
        scores = torch.cat([self._by_sequence(at_prompt, scaled.shape[2]), at_own], -1)
        shares = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        length = layer.prompt_keys.shape[-2]
        of_prompt = self._by_group(shares[..., :length]) @ layer.prompt_values
        found = self._by_sequence(of_prompt, scaled.shape[2]) + shares[..., length:] @ value
        return found.reshape(batch, 1, -1, value.shape[-1])

    def _by_group(self, states: Tensor) -> Tensor:
        """[B, heads, rep, n] → [P, heads, width·rep, n]."""
        _, heads, rep, size = states.shape
        if self.is_full:
            grouped = states.view(self.num_prompts, self.width, heads, rep, size)
        else:
            grouped = states.new_zeros(self.num_prompts, self.width, heads, rep, size)
            grouped[self.prompt_B, self.slot_B] = states
        return grouped.transpose(1, 2).reshape(self.num_prompts, heads, self.width * rep, size)

    def _by_sequence(self, grouped: Tensor, rep: int) -> Tensor:
        """The inverse of ``_by_group``."""
        apart = grouped.unflatten(2, (self.width, rep)).transpose(1, 2)
        return apart.flatten(0, 1) if self.is_full else apart[self.prompt_B, self.slot_B]
