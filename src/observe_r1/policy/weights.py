"""Weights as whole tensors, whether the model is sharded over processes or not."""

from typing import Any

import torch
from torch import Tensor, nn


def whole(tensor: Tensor) -> Tensor:
    """All of a sharded tensor; every process must ask at the same time."""
    gather = getattr(tensor, "full_tensor", None)
    return gather() if gather is not None else tensor


def sharded_like(tensor: Tensor, value: Tensor) -> Tensor:
    """``value`` laid out as ``tensor`` is, on its device."""
    value = value.to(tensor.device)
    if not hasattr(tensor, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements)


def whole_state(model: Any, *, keep: bool = True) -> dict[str, Tensor]:
    """What ``save_pretrained`` writes, in the host's memory. Every process must ask at the same
    time; those that do not ``keep`` it help to gather and hold one tensor at a time."""
    found = {}
    for name, value in model.state_dict().items():
        tensor = whole(value).detach()
        if keep:
            found[name] = tensor.cpu()
    return found


@torch.no_grad()
def copy_trained(source: nn.Module, target: nn.Module) -> None:
    """Bring ``target`` up to date with what is trained in ``source``."""
    into = dict(target.named_parameters())
    for name, parameter in source.named_parameters():
        if parameter.requires_grad:
            into[name].copy_(whole(parameter))
