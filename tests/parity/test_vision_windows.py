"""Windows of a vision tower side by side give what they give one by one."""

import copy
from typing import Any

import pytest
import torch
from families import family_policy
from torch import Tensor

from observe_r1.policy import windows
from observe_r1.policy.family import inner_model
from observe_r1.policy.load import enable_checkpointing
from observe_r1.policy.windows import TOWERS, Windows

GRIDS = torch.tensor([[1, 10, 12], [1, 4, 4], [1, 10, 12], [1, 6, 14]])
"""Pictures of three sizes, whose windows at the edge are cut."""
WIDTH = {"qwen2_vl": 1176, "qwen2_5_vl": 1176, "qwen3_vl": 1536}


def features(model: Any, pixels: Tensor, grids: Tensor) -> Tensor:
    return torch.cat(list(inner_model(model).get_image_features(pixels, grids).pooler_output))


def gradients(tower: Any) -> Tensor:
    found = torch.cat([p.grad.flatten() for p in tower.parameters() if p.grad is not None])
    tower.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("name", sorted(TOWERS))
@pytest.mark.parametrize("grids", [GRIDS, GRIDS[:1], GRIDS[[0, 2]]], ids=["mixed", "one", "equal"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
def test_batched_windows_equal_windows_one_by_one(
    name: str, grids: Tensor, checkpointing: bool
) -> None:
    model = family_policy(name).model
    if checkpointing:
        enable_checkpointing(model)
        model.train()
    tower = inner_model(model).visual
    assert tower.config._attn_implementation == windows.NAME
    pixels = torch.randn(int(grids.prod(-1).sum()), WIDTH[name])
    found = features(model, pixels, grids)
    found.square().sum().backward()
    of_found = gradients(tower)
    tower.config._attn_implementation = "sdpa"
    wanted = features(model, pixels, grids)
    wanted.square().sum().backward()
    of_wanted = gradients(tower)
    assert torch.allclose(found, wanted, atol=1e-5, rtol=1e-5)
    assert (of_found - of_wanted).norm() < 1e-5 * of_wanted.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(TOWERS))
def test_batched_windows_equal_windows_one_by_one_on_a_gpu(name: str) -> None:
    model = family_policy(name).model.to("cuda", torch.bfloat16)
    tower = inner_model(model).visual
    pixels = torch.randn(int(GRIDS.prod(-1).sum()), WIDTH[name]).to("cuda", torch.bfloat16)
    with torch.no_grad():
        found = features(model, pixels, GRIDS.cuda())
        tower.config._attn_implementation = "sdpa"
        wanted = features(model, pixels, GRIDS.cuda())
    assert (found - wanted).norm() < 1e-2 * wanted.norm()


@pytest.mark.parametrize("name", sorted(TOWERS))
def test_another_model_can_be_made_of_the_same_configuration(name: str) -> None:
    model = family_policy(name).model
    again = type(model)(copy.deepcopy(model.config))
    assert inner_model(again).visual.config._attn_implementation == "sdpa"
    model.set_attn_implementation("sdpa")


def test_a_call_for_each_length_and_layer_and_the_lengths_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = family_policy("qwen2_5_vl").model  # one layer with windows of 4 x 4, one without
    calls: list[tuple[int, ...]] = []
    reads: list[int] = []
    sdpa, between = windows.sdpa_attention_forward, Windows.between

    def counted(module: Any, query: Tensor, *rest: Any, **settings: Any) -> Any:
        calls.append(tuple(query.shape[::2]))
        return sdpa(module, query, *rest, **settings)

    def read(ends: Tensor) -> Windows:
        reads.append(len(ends))
        return between(ends)

    monkeypatch.setattr(windows, "sdpa_attention_forward", counted)
    monkeypatch.setattr(Windows, "between", read)
    features(model, torch.randn(480, 1176), GRIDS[[0, 2, 0, 2]])
    # 10 x 12 patches: 6 windows of 16 and, at the edge of either side, 3 of 8.
    assert calls == [(12, 8), (24, 16), (4, 120)]
    assert reads == [37, 5]


def test_windows_are_cut_and_joined_in_their_places() -> None:
    found = Windows.between(torch.tensor([0, 2, 5, 5, 7]))  # one holds nothing
    assert [p.tolist() for p in found.places] == [[[0, 1], [5, 6]], [[2, 3, 4]]]
    states = torch.arange(7.0).view(1, 1, 7, 1)
    parts = [found.cut(states, places).transpose(1, 2) for places in found.places]
    assert torch.equal(found.join(parts)[0, :, 0, 0], torch.arange(7.0))
