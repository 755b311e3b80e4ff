"""Norms and MLPs compiled by PyTorch, for a GPU: between two matrix products stands one kernel.

They are most of what a layer does beside its products: some twenty small operations, each of which
reads and writes all its numbers. Products whose sizes the hardware does not like are padded.

    layer       [norm] attention + [norm] [MLP] +       brackets: compiled, and the turning of
                                                        queries and keys inside attention
    decoding    as written: shapes change with every step, and a GPU replays a recording anyway

Why not whole layers? A layer that computes its activations again does so in its own forward, and
around that nothing can be compiled. And attention knows its layer's number: compiled for each, a
deep model is over the compiler's limit after the first prompt, and is then left as written.

Copies are not compiled: what is copied (``copy.deepcopy``) are weights.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from observe_r1.policy.family import language_model

ROTARY = ("apply_rotary_pos_emb", "apply_rotary_pos_emb_vision", "apply_multimodal_rotary_pos_emb")


def compile_layers(model: nn.Module, backend: str = "inductor") -> None:
    """In place, each when it is first used; parts of one kind share what was compiled, and shapes
    may change. Weights keep their names."""
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            for name, part in layer.named_children():
                if "att" not in name or "norm" in name:  # self_attn, post_attention_layernorm
                    part.compile(backend=backend, dynamic=True)
    for module, name in rotary_functions(model):
        setattr(module, name, torch.compile(getattr(module, name), backend=backend, dynamic=True))


def rotary_functions(model: Any) -> Iterator[tuple[ModuleType, str]]:
    """Where the model's own code looks up what turns queries and keys, for all models of its kind
    in this process; those that are compiled already are left out."""
    module = sys.modules[type(language_model(model)).__module__]
    for name in ROTARY:
        function = getattr(module, name, None)
        if function is not None and not hasattr(function, "_torchdynamo_orig_callable"):
            yield module, name


def as_written(is_compiled: bool) -> AbstractContextManager[None]:
    """Nothing is compiled meanwhile."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
