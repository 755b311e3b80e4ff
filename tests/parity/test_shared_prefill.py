"""The built-in engine draws what Transformers' own generation draws, and says the trainer's log-probs."""

import pytest
import torch
from families import END, FAMILIES, IMAGE, family_policy, family_prompt

from observe_r1.config.rollout import Sampling
from observe_r1.policy.family import base_model
from observe_r1.policy.pack import pack_group
from observe_r1.rollout.shared_prefill import SharedPrefillEngine


def generate(policy, prompts, group_size: int, sampling: Sampling):
    engine = SharedPrefillEngine(policy)
    generator = torch.Generator().manual_seed(3)
    randoms = torch.rand(len(prompts) * group_size, sampling.max_new_tokens, generator=generator)
    return engine._decode(prompts, randoms, group_size, sampling)


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_tokens_equal_separate_generation(name: str) -> None:
    policy = family_policy(name)
    prompts = [family_prompt(policy, name, seed=n, images=(2, 1, 0)[n]) for n in range(3)]
    sampling = Sampling(temperature=0, max_new_tokens=24)
    found = generate(policy, prompts, 1, sampling)
    for prompt, completion in zip(prompts, found, strict=True):
        extra = dict(prompt.vision)
        if policy.family.media_type_name and prompt.vision:
            extra[policy.family.media_type_name] = (prompt.ids_L[None] == IMAGE).int()
        wanted = base_model(policy.model).generate(
            input_ids=prompt.ids_L[None], attention_mask=torch.ones(1, prompt.length, dtype=int),
            do_sample=False, max_new_tokens=24, eos_token_id=END, pad_token_id=0,
            suppress_tokens=list(policy.family.suppressed_ids), **extra,
        )  # fmt: skip
        assert completion.token_ids == tuple(wanted[0, prompt.length :].tolist())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_sampler_and_the_trainer_say_the_same_log_probs(name: str) -> None:
    policy = family_policy(name)
    prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
    sampling = Sampling(temperature=0.8, max_new_tokens=30)
    found = generate(policy, prompts, 4, sampling)
    rows = [
        pack_group(prompt, [c.token_ids for c in found[4 * n : 4 * n + 4]])
        for n, prompt in enumerate(prompts)
    ]
    trainer = policy.packed(rows, 0.8).logprobs_N
    sampler = torch.tensor([value for c in found for value in c.logprobs])
    assert torch.allclose(trainer, sampler, atol=1e-5, rtol=0)
