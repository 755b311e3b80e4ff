"""Float32 copies of weights that are trained in half precision.

A bfloat16 number has eight bits: a step of 1e-6 on a weight of 0.02 rounds to nothing. So the
optimizer moves a float32 copy, and the weights are that copy rounded. Weights that are float32
already are their own copy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Pair:
    """A trained weight and what the optimizer moves in its place."""

    name: str
    weight: nn.Parameter
    master: nn.Parameter

    @property
    def is_copied(self) -> bool:
        return self.master is not self.weight


class MasterWeights:
    """All trained weights of a module."""

    def __init__(self, module: nn.Module) -> None:
        trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        self.pairs = [Pair(name, weight, _master(weight)) for name, weight in trained]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [pair.master for pair in self.pairs]

    def add_gradients(self) -> None:
        """Move the weights' gradients to what the optimizer moves, beside those of the passes
        before: in half precision a long sum would lose what the last ones say."""
        for pair in self.pairs:
            if pair.is_copied and pair.weight.grad is not None:
                gradient, pair.weight.grad = pair.weight.grad, None
                if pair.master.grad is None:
                    pair.master.grad = gradient.float()
                else:
                    pair.master.grad += gradient

    def take_gradients(self) -> None:
        """The same, in the place of what was there."""
        self.forget_gradients()
        self.add_gradients()

    def forget_gradients(self) -> None:
        for pair in self.pairs:
            if pair.is_copied:
                pair.master.grad = None

    @torch.no_grad()
    def write_back(self) -> None:
        """Round what the optimizer moved into the weights."""
        for pair in self.pairs:
            if pair.is_copied:
                pair.weight.copy_(pair.master)


def _master(weight: nn.Parameter) -> nn.Parameter:
    if weight.dtype == torch.float32:
        return weight
    return nn.Parameter(weight.detach().float())
