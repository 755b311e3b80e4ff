"""What is decided for a GPU, as far as a machine without one can tell."""

from types import SimpleNamespace

import pytest
import torch

import fakes
from observe_r1.errors import ModelError
from observe_r1.policy import blocks
from observe_r1.policy.blocks import SMALL_TILES, settle_kernel
from observe_r1.policy.load import choose_kernel, enable_checkpointing
from observe_r1.policy.pack import pack_group
from observe_r1.policy.widths import is_odd, pad_widths
from observe_r1.train.masters import MasterWeights

CUDA = torch.device("cuda")


def settled(monkeypatch, room: int, fits) -> tuple:
    """On a GPU of so much shared memory, whose kernels fit or not."""
    tried = []

    def attempt(options) -> None:
        tried.append(options)
        if not fits(options):
            raise RuntimeError("No valid triton configs. OutOfResources\nmore")

    monkeypatch.setattr(
        torch.cuda, "get_device_properties",
        lambda device: SimpleNamespace(shared_memory_per_block_optin=room),
    )  # fmt: skip
    return settle_kernel(256, torch.bfloat16, CUDA, attempt), tried


def test_flex_attention_is_tried_where_a_gpu_may_not_hold_it(monkeypatch, caplog) -> None:
    large, small = 227 * 1024, 99 * 1024
    assert settled(monkeypatch, large, lambda options: False) == (("blocks", None), [])
    assert settled(monkeypatch, small, lambda options: True) == (("blocks", None), [None])
    found = settled(monkeypatch, small, lambda options: options is not None)
    assert found == (("blocks", SMALL_TILES), [None, SMALL_TILES]) and not caplog.text
    assert settled(monkeypatch, small, lambda options: False)[0] == ("pieces", None)
    assert "heads of 256 numbers (No valid triton configs. OutOfResources)" in caplog.text


def test_what_is_tried_is_what_a_model_would_call(monkeypatch) -> None:
    """Up to the kernel itself, which has no backward pass on a CPU."""
    seen = []

    def kernel(module, query, key, value, mask, *, kernel_options):
        seen.append((query.shape, key.shape, mask.shape, kernel_options))
        return (query * key.sum() * value.sum()).transpose(1, 2), None

    monkeypatch.setattr(blocks, "flex_attention_forward", kernel)
    blocks.attend_once(16, torch.float32, torch.device("cpu"), SMALL_TILES)
    assert seen == [((1, 2, 256, 16), (1, 1, 256, 16), (1, 1, 256, 256), SMALL_TILES)]


def test_narrow_heads_are_computed_in_pieces() -> None:
    assert choose_kernel("auto", CUDA, 8, torch.float32) == ("pieces", None)
    assert choose_kernel("auto", torch.device("cpu"), 128, torch.float32) == ("pieces", None)
    with pytest.raises(ModelError, match="FlexAttention has no backward pass on a CPU"):
        choose_kernel("blocks", torch.device("cpu"), 128, torch.float32)


def test_mlps_of_an_odd_width_compute_the_same_a_little_wider() -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config: Qwen2_5_VLConfig = fakes.tiny_model().config
    config.vision_config.intermediate_size = config.text_config.intermediate_size = 61
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    odd = [module for module in model.model.visual.modules() if is_odd(module)]
    assert len(odd) == config.vision_config.depth
    inputs = torch.randn(7, config.vision_config.hidden_size)
    found = []
    for _ in range(2):
        model.zero_grad()
        output = odd[0](inputs)
        output.square().sum().backward()
        found.append([output, *(parameter.grad for parameter in odd[0].parameters())])
        names = set(model.state_dict())
        pad_widths(model)
    assert not any(is_odd(module) for module in model.model.visual.modules())
    assert set(model.state_dict()) == names
    text = model.model.language_model.layers[0].mlp
    assert is_odd(text), "adapters may wrap its layers, which a product of weights would not see"
    assert len(found[0]) == 7  # biases too
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_every_other_layer_keeps_its_activations() -> None:
    """The gradient is the same, and half as much is computed again."""
    computed = []
    for every in (1, 2):
        policy = fakes.tiny_policy(gradient_checkpointing=True, checkpoint_every=every)
        layers = policy.model.model.language_model.layers
        calls = [0]
        for layer in layers:
            layer.mlp.register_forward_pre_hook(
                lambda *_, calls=calls: calls.__setitem__(0, calls[0] + 1)
            )
        row = pack_group(policy.encode(fakes.sample(), "count"), [(20, 30, 40), (50,)])
        policy.packed.train()
        policy.packed([row]).logprobs_N.sum().backward()
        computed.append((calls[0], layers[0].mlp.up_proj.weight.grad))
    assert [calls for calls, _ in computed] == [4, 3]  # two layers, both or one of them twice
    assert torch.allclose(computed[0][1], computed[1][1], atol=1e-6)
    older = SimpleNamespace(gradient_checkpointing_enable=lambda kwargs: None)
    enable_checkpointing(older)
    with pytest.raises(ModelError, match="checkpoint_every is 2, which this Transformers cannot"):
        enable_checkpointing(older, 2)


def test_adapters_have_the_precision_of_their_model_and_move_in_float32() -> None:
    from observe_r1.config.policy import PolicyConfig
    from observe_r1.policy.load import make_policy

    model = fakes.tiny_model().to(torch.bfloat16)
    settings = PolicyConfig(dtype="bfloat16", lora={"rank": 2})
    policy = make_policy(model, fakes.byte_processor(), settings, source="x")
    pairs = list(MasterWeights(policy.packed))
    assert pairs and all("lora_" in pair.name for pair in pairs)
    assert {pair.weight.dtype for pair in pairs} == {torch.bfloat16}
    assert {pair.master.dtype for pair in pairs} == {torch.float32}


def test_pictures_are_kept_in_the_precision_they_are_read_in() -> None:
    from observe_r1.config.policy import PolicyConfig
    from observe_r1.policy.load import make_policy

    model = fakes.tiny_model().to(torch.bfloat16)
    policy = make_policy(model, fakes.byte_processor(), PolicyConfig(dtype="bfloat16"), source="x")
    prompt = policy.encode(fakes.sample(), "look")
    assert prompt.vision["pixel_values"].dtype == torch.bfloat16
    assert prompt.vision["image_grid_thw"].dtype == torch.int64
