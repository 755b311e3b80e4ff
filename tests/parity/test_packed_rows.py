"""One row a group equals one row a completion: log-probs to 1e-5, gradients to 1e-4 of their norm.

It follows that every loss and every update is the one that separate rows would give.
"""

import pytest
import torch
from families import CLOSE, FAMILIES, IMAGE, family_policy, family_prompt

from observe_r1.policy import pieces
from observe_r1.policy.family import base_model
from observe_r1.policy.load import Policy
from observe_r1.policy.pack import pack_group
from observe_r1.policy.prompts import EncodedPrompt

COMPLETIONS = ((21, 150, 33, 47, 90, 1), (99, 1, 60), (64,), (25, 26, 27, 28, 29, 30, 31, 32, 33))
WEIGHTS = (1.3, -0.7, 0.9, 0.4)


def separate_logprobs(
    policy: Policy, prompt: EncodedPrompt, completion: tuple[int, ...]
) -> torch.Tensor:
    """The model's own forward of one row, with its own masks and positions."""
    model = base_model(policy.model)
    row = torch.cat([prompt.ids_L, torch.tensor(completion)])[None]
    extra = dict(prompt.vision)
    if policy.family.media_type_name and prompt.vision:
        extra[policy.family.media_type_name] = (row == IMAGE).int()
    logits = model(
        input_ids=row, attention_mask=torch.ones_like(row), use_cache=False, **extra
    ).logits[0]
    logits[:, list(policy.family.suppressed_ids)] = float("-inf")
    read = logits[prompt.length - 1 : -1].log_softmax(-1)
    return read.gather(-1, torch.tensor(completion)[:, None])[:, 0]


def gradients(policy: Policy, logprobs: torch.Tensor) -> torch.Tensor:
    policy.packed.zero_grad(set_to_none=True)
    weights = torch.tensor([w for w, c in zip(WEIGHTS, COMPLETIONS, strict=True) for _ in c])
    (weights * logprobs).sum().backward()
    return torch.cat([p.grad.flatten() for p in policy.packed.parameters() if p.grad is not None])


@pytest.mark.parametrize("images", [0, 1, 2])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_packed_row_equals_separate_rows(name: str, images: int) -> None:
    policy = family_policy(name)
    prompt = family_prompt(policy, name, seed=1, images=images)
    wanted = torch.cat([separate_logprobs(policy, prompt, c) for c in COMPLETIONS])
    wanted_gradient = gradients(policy, wanted)
    found = policy.packed([pack_group(prompt, COMPLETIONS)]).logprobs_N
    assert torch.allclose(found, wanted, atol=1e-5, rtol=0)
    difference = gradients(policy, found) - wanted_gradient
    assert difference.norm() < 1e-4 * wanted_gradient.norm()


@pytest.mark.parametrize("longest", [1, 9, 14])
@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3"])
def test_bundles_of_any_size_give_the_same(name: str, longest: int, monkeypatch) -> None:
    """One completion each, some with several, all in one."""
    policy = family_policy(name)
    row = pack_group(family_prompt(policy, name, seed=1), COMPLETIONS)
    wanted = policy.packed([row]).logprobs_N
    monkeypatch.setattr(pieces, "LONGEST_BUNDLE", longest)
    found = policy.packed([row]).logprobs_N
    assert torch.allclose(found, wanted, atol=1e-5, rtol=0)
    difference = gradients(policy, found) - gradients(policy, wanted)
    assert difference.norm() < 1e-5 * gradients(policy, policy.packed([row]).logprobs_N).norm()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mixed_batch_of_rows_equals_its_rows(name: str) -> None:
    policy = family_policy(name)
    prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
    rows = [pack_group(p, COMPLETIONS[:n]) for p, n in zip(prompts, (4, 1, 2), strict=True)]
    together = policy.packed(rows).logprobs_N
    alone = torch.cat([policy.packed([row]).logprobs_N for row in rows])
    assert torch.allclose(together, alone, atol=1e-5, rtol=0)


def test_every_family_has_its_images_in_the_log_probs() -> None:
    """Else a parity test would pass on a model that never looks."""
    assert CLOSE != IMAGE
    for name in FAMILIES:
        policy = family_policy(name)
        prompt = family_prompt(policy, name, seed=1)
        seen = policy.packed([pack_group(prompt, COMPLETIONS)]).logprobs_N
        prompt.vision["pixel_values"].mul_(-1)
        assert (
            policy.packed([pack_group(prompt, COMPLETIONS)]).logprobs_N - seen
        ).abs().max() > 1e-3
