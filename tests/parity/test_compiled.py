"""Compiled layers compute what they computed before, and decoding is left as it was."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.errors import ModelError
from observe_r1.policy.compiled import compile_layers
from observe_r1.policy.load import Policy, check_compiling, make_policy
from observe_r1.policy.pack import PackedRow, pack_group
from observe_r1.rollout.shared_prefill import SharedPrefillEngine

pytestmark = pytest.mark.filterwarnings("ignore")  # the compiler warns of what it does itself

ANSWERS = [(10, 11, 12, 13, 14), (15, 16, 17)]


def rows(policy: Policy, count: int) -> list[PackedRow]:
    prompt = policy.encode(fakes.sample(images=1), "look")
    return [pack_group(prompt, [*ANSWERS, ANSWERS[0][:number]]) for number in range(1, count + 1)]


def log_probs_and_gradient(policy: Policy, packed: Sequence[PackedRow]) -> tuple[Tensor, Tensor]:
    found = policy.packed(packed, 0.7).logprobs_N
    found.sum().backward()
    gradient = torch.cat([p.grad.flatten() for p in policy.packed.parameters()])
    policy.packed.zero_grad(set_to_none=True)
    return found.detach(), gradient


@pytest.mark.parametrize(
    "checkpointing", [pytest.param(False, marks=pytest.mark.slow), True], ids=["kept", "again"]
)
def test_compiled_layers_equal_those_as_written(checkpointing: bool) -> None:
    """With the compiler's own front end and gradients; the kernels it writes need a GPU's tools."""
    policy = fakes.tiny_policy(gradient_checkpointing=checkpointing)
    policy.packed.train(checkpointing)
    wanted, gradient = log_probs_and_gradient(policy, rows(policy, 2))
    torch._dynamo.reset()
    counters.clear()
    compile_layers(policy.model, backend="aot_eager")
    found, other = log_probs_and_gradient(policy, rows(policy, 2))
    assert torch.allclose(found, wanted, atol=1e-5)
    assert (other - gradient).norm() < 1e-5 * gradient.norm()
    assert counters["stats"]["unique_graphs"] > 0


def test_decoding_stays_as_it_is() -> None:
    policy = fakes.tiny_policy()
    asked = {
        "group_size": 2, "sampling": Sampling(max_new_tokens=6), "system_prompt": "look", "seed": 1,
    }  # fmt: skip
    samples = [fakes.sample(images=1)]
    wanted = SharedPrefillEngine(policy).generate(samples, **asked)
    torch._dynamo.reset()
    compile_layers(policy.model, backend="aot_eager")
    object.__setattr__(policy, "config", PolicyConfig(compile_layers=True))
    first = SharedPrefillEngine(policy).generate(samples, **asked)
    known = dict(counters["stats"])
    again = SharedPrefillEngine(policy).generate(samples, **asked)
    assert first == again == wanted
    assert dict(counters["stats"]) == known, "a decoding step was compiled"


def test_a_cpu_does_not_compile_its_layers() -> None:
    with pytest.raises(ModelError, match="compile_layers is true, but on a CPU"):
        check_compiling(torch.device("cpu"))


@pytest.mark.gpu
def test_compiled_layers_equal_those_as_written_on_a_gpu() -> None:
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        settings = PolicyConfig(compile_layers=compiled)
        model, processor = fakes.tiny_model().cuda(), fakes.byte_processor()
        policy = make_policy(model, processor, settings, source="random")
        found.append([log_probs_and_gradient(policy, rows(policy, count)) for count in (1, 3, 2)])
    for (log_probs, gradient), (others, other) in zip(*found, strict=True):
        assert torch.allclose(log_probs, others, atol=1e-3)
        assert (other - gradient).norm() < 1e-3 * gradient.norm()
