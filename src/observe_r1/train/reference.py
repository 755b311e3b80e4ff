"""The model that KL terms look back to: the adapters switched off, or a frozen copy."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from observe_r1.policy.compiled import compile_layers
from observe_r1.policy.forward import PackedPolicy
from observe_r1.policy.load import Policy
from observe_r1.train.rows import CreditRow, fill_microbatches


class Reference:
    """Log-probs of the weights training started from."""

    def __init__(self, policy: Policy) -> None:
        self.model: Any = policy.model
        self.has_adapters = hasattr(self.model, "disable_adapter")
        self.module: PackedPolicy = policy.packed
        if not self.has_adapters:
            self.module = copy.deepcopy(policy.packed).requires_grad_(False).eval()
            if policy.config.compile_layers:  # or its rounding would be another than the policy's
                compile_layers(self.module)
            if (
                policy.packed.vision.keeps_features
            ):  # of the same frozen tower: encoded once for both
                self.module.vision = policy.packed.vision

    def add_to(self, rows: list[CreditRow], temperature: float, budget: int) -> list[CreditRow]:
        with self.model.disable_adapter() if self.has_adapters else nullcontext():
            values = row_logprobs(self.module, rows, temperature, budget)
        return [r.with_logprobs(reference=v) for r, v in zip(rows, values, strict=True)]


@torch.no_grad()
def row_logprobs(
    module: nn.Module, rows: Sequence[CreditRow], temperature: float, budget: int
) -> list[Tensor]:
    """[N] log-probs of each row, without gradient, in micro-batches."""
    found: dict[int, Tensor] = {}
    for batch in fill_microbatches(rows, budget):
        output = module([r.row for r in batch], temperature)
        sizes = [r.row.num_targets for r in batch]
        for row, values in zip(batch, output.logprobs_N.split(sizes), strict=True):
            found[id(row)] = values
    return [found[id(row)] for row in rows]
