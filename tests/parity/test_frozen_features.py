"""With tower and aligner frozen, images are encoded once and everything else is as before."""

import pytest
import torch
from families import FAMILIES, family_policy, family_prompt

from observe_r1.config.rollout import Sampling
from observe_r1.policy.family import parameters_by_part
from observe_r1.policy.pack import pack_group
from observe_r1.rollout.decoder import Decoder

COMPLETIONS = ((21, 150, 33), (99, 60))
FROZEN = {"freeze_vision": True, "freeze_aligner": True}


def language_gradient(policy, rows) -> torch.Tensor:
    policy.packed.zero_grad(set_to_none=True)
    policy.packed(rows).logprobs_N.sum().backward()
    return torch.cat(
        [
            parameter.grad.flatten()
            for parameter, part in parameters_by_part(policy.model)
            if part == "language" and parameter.grad is not None
        ]
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_kept_features_equal_the_plain_path(name: str) -> None:
    plain, frozen = family_policy(name), family_policy(name, **FROZEN)
    results = []
    for policy in (plain, frozen):
        prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
        rows = [pack_group(prompt, COMPLETIONS) for prompt in prompts]
        sampling = Sampling(temperature=0, max_new_tokens=6)
        drawn = Decoder(policy, prompts, torch.zeros(3, 6), 1, sampling).run()
        results.append(([c.token_ids for c in drawn], policy.packed(rows).logprobs_N))
    assert results[0][0] == results[1][0]
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)
    assert frozen.packed.vision.num_encoded == 3  # 0 + 1 + 2 images, in three uses
    assert plain.packed.vision.num_encoded == 2 * 3  # once in the prefill, once in the pass


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_the_language_model_are_those_of_the_plain_path(name: str) -> None:
    plain, frozen = family_policy(name), family_policy(name, **FROZEN)
    found = []
    for policy in (plain, frozen):
        prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
        found.append(language_gradient(policy, [pack_group(p, COMPLETIONS) for p in prompts]))
    assert (found[0] - found[1]).norm() < 1e-4 * found[0].norm()
