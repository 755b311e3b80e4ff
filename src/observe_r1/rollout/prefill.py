"""Prompts computed once: one behind the other in one row, as the trainer's rows are, unpadded.

row       [ P0 | P1 | P2 ]          one forward pass; no prompt sees another
keys      P0 P1 P2                  cut apart and padded on the left to one length, a layer each
hidden    the last of every prompt  predicts the first token of all its completions
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from observe_r1.policy.forward import PackedPolicy
from observe_r1.policy.pack import JoinedRows, pack_group
from observe_r1.policy.prompts import EncodedPrompt

Layer = tuple[Tensor, Tensor]
"""Keys and values of the prompts in one layer, [P, heads, L, width] each."""


@torch.no_grad()
def prefill(packed: PackedPolicy, prompts: Sequence[EncodedPrompt]) -> tuple[list[Layer], Tensor]:
    """The prompts' keys and values in every layer, and [P, H] their last hidden states."""
    num_layers = packed.model.config.get_text_config().num_hidden_layers
    longest = max(prompt.length for prompt in prompts)
    parts, hidden = [], []
    for rows in packed.passes([pack_group(prompt, []) for prompt in prompts]):
        # Sliding layers keep everything too; their window is in the mask.
        plain = [DynamicLayer() for _ in range(num_layers)]
        states, joined = packed.states(rows, Cache(layers=list(plain)))
        parts.append([cut_apart(layer, joined, longest) for layer in plain])
        ends = torch.tensor([row.length for row in rows], device=states.device).cumsum(0) - 1
        hidden.append(states[ends])
    layers = parts[0] if len(parts) == 1 else [_joined(layer) for layer in zip(*parts, strict=True)]
    return layers, torch.cat(hidden)


def _joined(parts: Sequence[Layer]) -> Layer:
    return torch.cat([keys for keys, _ in parts]), torch.cat([values for _, values in parts])


def cut_apart(layer: DynamicLayer, joined: JoinedRows, length: int) -> Layer:
    """[1, heads, S, width] → [P, heads, length, width]; what is before a prompt is zero."""
    assert layer.keys is not None and layer.values is not None  # the pass has filled them
    lengths = [row.length for row in joined.rows]
    return _apart(layer.keys, lengths, length), _apart(layer.values, lengths, length)


def _apart(states: Tensor, lengths: list[int], length: int) -> Tensor:
    _, heads, _, width = states.shape
    apart = states.new_zeros(len(lengths), heads, length, width)
    for number, own in enumerate(states[0, :, : sum(lengths)].split(lengths, 1)):
        apart[number, :, length - own.shape[1] :] = own
    return apart


def left_padded(tensors: Sequence[Tensor], length: int, value: int) -> Tensor:
    """Stack [..., L] tensors of different L, the end of each at the right."""
    return torch.stack(
        [torch.nn.functional.pad(t, (length - t.shape[-1], 0), value=value) for t in tensors]
    )
