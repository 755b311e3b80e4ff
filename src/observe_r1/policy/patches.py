"""Pictures cut into patches become vectors by one matrix product.

Qwen's towers are handed patches that are cut already and run a convolution over each, whose kernel
is as large as the patch: there is one place to put it. That is a matrix product, which a CPU does
seven times faster than the convolution, and every device has well-kept kernels for.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear

from observe_r1.policy.family import inner_model
from observe_r1.policy.windows import TOWERS


class WholePatch(nn.Conv3d):
    """A convolution whose inputs are exactly as large as its kernel."""

    def forward(self, input: Tensor) -> Tensor:
        vectors = linear(input.flatten(1), self.weight.flatten(1), self.bias)
        return vectors[..., None, None, None]


def multiply_patches(model: Any) -> None:
    """Let the model's vision tower embed patches so, where it is handed them one by one. Weights
    keep their names and shapes."""
    if model.config.model_type in TOWERS:
        inner_model(model).visual.patch_embed.proj.__class__ = WholePatch
