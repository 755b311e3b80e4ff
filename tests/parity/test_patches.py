"""Patches embedded by a matrix product are what the convolution makes of them."""

import copy
from typing import Any

import pytest
import torch
from families import family_policy
from torch import nn

from observe_r1.policy.family import inner_model
from observe_r1.policy.patches import WholePatch
from observe_r1.policy.windows import TOWERS


def embedder(name: str) -> Any:
    return inner_model(family_policy(name).model).visual.patch_embed


@pytest.mark.parametrize("name", sorted(TOWERS))
def test_the_product_equals_the_convolution(name: str) -> None:
    ours = embedder(name)
    assert type(ours.proj) is WholePatch
    theirs = copy.deepcopy(ours)
    theirs.proj.__class__ = nn.Conv3d
    pixels = torch.randn(40, ours.proj.weight[0].numel())
    found, wanted = ours(pixels), theirs(pixels)
    found.square().sum().backward()
    wanted.square().sum().backward()
    assert torch.allclose(found, wanted, atol=1e-5, rtol=1e-5)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (mine.grad - other.grad).norm() < 1e-5 * other.grad.norm()
