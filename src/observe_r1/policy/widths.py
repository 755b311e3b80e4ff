"""MLPs whose width the hardware does not like are computed a little wider.

Qwen2.5-VL's tower has 3,420 hidden numbers a token. In half precision GPUs multiply fast where
widths are multiples of eight numbers (16 bytes), and two to three times slower beside them. Zeros
are put behind the weights for the time of a product: they add nothing, and weights keep their
shapes.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear, pad

from observe_r1.policy.family import language_model

MULTIPLE = 8
PARTS = ("gate_proj", "up_proj", "down_proj", "act_fn")


def pad_widths(model: nn.Module) -> None:
    """In place, where an MLP is gated and its width no multiple of eight. Not in the language
    model, whose layers adapters may wrap."""
    language = set(language_model(model).modules())
    for module in list(model.modules()):
        if module not in language and is_odd(module):
            kind = type(module)
            module.__class__ = type(f"Wider{kind.__name__}", (_Wider, kind), {})


def is_odd(module: Any) -> bool:
    """Whether this is a gated MLP of such a width."""
    if not all(hasattr(module, name) for name in PARTS) or isinstance(module, _Wider):
        return False
    parts = [getattr(module, name) for name in PARTS[:3]]
    return all(type(part) is nn.Linear for part in parts) and bool(parts[0].out_features % MULTIPLE)


class _Wider(nn.Module):
    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear
    act_fn: nn.Module

    def forward(self, hidden_state: Tensor) -> Tensor:
        extra = -self.gate_proj.out_features % MULTIPLE
        gate, up = (
            linear(hidden_state, pad(part.weight, (0, 0, 0, extra)), _longer(part.bias, extra))
            for part in (self.gate_proj, self.up_proj)
        )
        down = self.down_proj
        return linear(self.act_fn(gate) * up, pad(down.weight, (0, extra)), down.bias)


def _longer(bias: Tensor | None, extra: int) -> Tensor | None:
    return None if bias is None else pad(bias, (0, extra))
