"""Compiled parts of layers compute what they computed before, and decoding is left as it was."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.errors import ModelError
from observe_r1.policy.compiled import compile_layers, rotary_functions
from observe_r1.policy.load import Policy, check_compiling, make_policy
from observe_r1.policy.pack import PackedRow, pack_group
from observe_r1.policy.widths import pad_widths
from observe_r1.rollout.decoder import Decoder
from observe_r1.rollout.shared_prefill import SharedPrefillEngine

pytestmark = pytest.mark.filterwarnings("ignore")  # the compiler warns of what it does itself

ANSWERS = [(10, 11, 12, 13, 14), (15, 16, 17)]
SAMPLES = [fakes.sample(images=1)]
ASKED: dict[str, Any] = {
    "group_size": 2, "sampling": Sampling(max_new_tokens=6), "system_prompt": "look", "seed": 1,
}  # fmt: skip


def rows(policy: Policy, count: int) -> list[PackedRow]:
    prompt = policy.encode(SAMPLES[0], "look")
    return [pack_group(prompt, [*ANSWERS, ANSWERS[0][:number]]) for number in range(1, count + 1)]


def log_probs_and_gradient(policy: Policy, packed: Sequence[PackedRow]) -> tuple[Tensor, Tensor]:
    policy.packed.train()
    found = policy.packed(packed, 0.7).logprobs_N
    policy.packed.eval()
    found.sum().backward()
    gradient = torch.cat([p.grad.flatten() for p in policy.packed.parameters()])
    policy.packed.zero_grad(set_to_none=True)
    return found.detach(), gradient


def compiled(policy: Policy) -> Policy:
    """With the compiler's own front end and gradients; the kernels it writes need a GPU's tools."""
    torch._dynamo.reset()
    counters.clear()
    compile_layers(policy.model, backend="aot_eager")
    return replace(policy, config=PolicyConfig(compile_layers=True))


@pytest.fixture(autouse=True)
def restored():
    """What looks up the rotary functions is the model's module, which others use as well."""
    places = list(rotary_functions(fakes.tiny_model()))
    before = [getattr(module, name) for module, name in places]
    yield
    for (module, name), function in zip(places, before, strict=True):
        setattr(module, name, function)


def num_graphs() -> int:
    return counters["stats"]["unique_graphs"]


def test_an_update_after_a_rollout_is_compiled_and_equals_one_as_written() -> None:
    """In more layers than the compiler makes versions of one function: none may know its number."""
    model = fakes.tiny_model(layers=10)
    settings = PolicyConfig(gradient_checkpointing=True)
    policy = make_policy(model, fakes.byte_processor(), settings, source="random")
    drawn = SharedPrefillEngine(policy).generate(SAMPLES, **ASKED)
    log_probs, gradient = log_probs_and_gradient(policy, rows(policy, 2))
    policy = compiled(policy)
    assert SharedPrefillEngine(policy).generate(SAMPLES, **ASKED) == drawn
    after_rollout = num_graphs()
    found, other = log_probs_and_gradient(policy, rows(policy, 2))
    assert torch.allclose(found, log_probs, atol=1e-5)
    assert (other - gradient).norm() < 1e-5 * gradient.norm()
    assert num_graphs() > after_rollout
    assert not list(rotary_functions(policy.model)), "all are compiled, and none twice"
    assert not counters["graph_break"]


@pytest.mark.slow
def test_mlps_that_are_computed_wider_are_compiled_too() -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    config = fakes.tiny_model().config
    config.vision_config.intermediate_size = 61
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    policy = make_policy(model, fakes.byte_processor(), PolicyConfig(), source="random")
    log_probs, gradient = log_probs_and_gradient(policy, rows(policy, 2))
    pad_widths(policy.model)
    policy = compiled(policy)
    found, other = log_probs_and_gradient(policy, rows(policy, 2))
    assert torch.allclose(found, log_probs, atol=1e-5)
    assert (other - gradient).norm() < 1e-5 * gradient.norm()
    assert not counters["graph_break"]


def test_decoding_stays_as_it_is() -> None:
    policy = compiled(fakes.tiny_policy())
    prompts = [policy.encode(SAMPLES[0], "look")]
    decoder = Decoder(policy, prompts, torch.full((2, 6), 0.5), 2, ASKED["sampling"])
    before = num_graphs()
    assert before > 0, "the prompt went through compiled layers"
    decoder.run()
    assert num_graphs() == before


def test_only_a_gpu_compiles_its_layers() -> None:
    with pytest.raises(ModelError, match="compile_layers is true, but this device is cpu"):
        check_compiling(torch.device("cpu"))
    check_compiling(torch.device("cuda"))


@pytest.mark.gpu
def test_compiled_layers_equal_those_as_written_on_a_gpu() -> None:
    found = []
    for is_compiled in (False, True):
        # FlexAttention's kernels take heads of 16 numbers or more.
        model, processor = fakes.tiny_model(hidden=64).cuda(), fakes.byte_processor()
        settings = PolicyConfig(compile_layers=is_compiled)
        policy = make_policy(model, processor, settings, source="random")
        found.append([log_probs_and_gradient(policy, rows(policy, count)) for count in (1, 3, 2)])
    for (log_probs, gradient), (others, other) in zip(*found, strict=True):
        assert torch.allclose(log_probs, others, atol=1e-3)
        assert (other - gradient).norm() < 1e-3 * gradient.norm()
