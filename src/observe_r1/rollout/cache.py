"""A key-value cache with room kept free, so that a decoding step writes in place.

Transformers' growing cache copies everything it holds at every token. Here the room for all new
tokens is there from the start, and sequences that have finished are dropped by rewriting what is
left. Sliding layers keep everything too; their window is in the mask.
"""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer: ``[B, heads, room, width]``, the first ``length`` filled."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.keys = _with_room(key_states, self.room)
            self.values = _with_room(value_states, self.room)
            self.is_initialized = True
        end = self.length + key_states.shape[-2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        self.keys = self._rewritten(self.keys, rows)
        self.values = self._rewritten(self.values, rows)

    def branch(self, group_size: int, room: int) -> "RoomyLayer":
        """Every sequence ``group_size`` times, with room for ``room`` tokens in all."""
        branched = RoomyLayer(room)
        branched.dtype, branched.device, branched.is_initialized = self.dtype, self.device, True
        branched.length = self.length
        branched.keys = self._branched(self.keys, group_size, room)
        branched.values = self._branched(self.values, group_size, room)
        return branched

    def _rewritten(self, states: Tensor, rows: Tensor) -> Tensor:
        kept = states.new_empty(len(rows), *states.shape[1:])
        kept[:, :, : self.length] = states[rows, :, : self.length]
        return kept

    def _branched(self, states: Tensor, group_size: int, room: int) -> Tensor:
        num_prompts, num_heads, _, width = states.shape
        wide = states.new_empty(num_prompts, group_size, num_heads, room, width)
        wide[:, :, :, : self.length] = states[:, None, :, : self.length]
        return wide.flatten(0, 1)


def _with_room(states: Tensor, room: int) -> Tensor:
    batch, heads, _, width = states.shape
    return torch.empty(batch, heads, room, width, dtype=states.dtype, device=states.device)


class BranchingCache(Cache):
    """One ``RoomyLayer`` a layer of the model."""

    def __init__(self, layers: list[RoomyLayer]) -> None:
        super().__init__(layers=list(layers))
        self.roomy = layers

    @classmethod
    def empty(cls, num_layers: int, room: int) -> "BranchingCache":
        return cls([RoomyLayer(room) for _ in range(num_layers)])

    def branch(self, group_size: int, room: int) -> "BranchingCache":
        return BranchingCache([layer.branch(group_size, room) for layer in self.roomy])

    def select(self, rows: Tensor) -> None:
        for layer in self.roomy:
            layer.select(rows)
