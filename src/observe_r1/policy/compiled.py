"""Layers compiled by PyTorch, for a GPU: what stands between two matrix products is one kernel.

A layer is a few matrix products and some thirty small operations, each of which reads and writes
all its numbers. Compiled they are a handful, and products whose sizes the hardware does not like
are padded. Attention has kernels of its own and is left as it is.

    training    [norm] [project·rotate] attention [project] + [norm] [MLP] +      a layer's parts
    decoding    as written: shapes change at every step, and a GPU replays a recording anyway
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.modeling_layers import GradientCheckpointingLayer

from observe_r1.policy import attention, windows


def compile_layers(model: nn.Module, backend: str = "inductor") -> None:
    """The parts of every layer of the language model and of the vision tower, in place and when
    they are first used; those of one kind share what was compiled. Weights keep their names.

    Parts and not layers: a layer that computes its activations again does so in its own forward,
    and around that nothing can be compiled.
    """
    for kind in (attention, windows):
        AttentionInterface.register(kind.NAME, torch.compiler.disable(kind.attention))
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            for part in layer.children():
                part.compile(backend=backend)


def as_written(is_compiled: bool) -> AbstractContextManager[None]:
    """Nothing is compiled meanwhile."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
