"""The built-in engine draws what Transformers' own generation draws, and says the trainer's log-probs."""

from dataclasses import replace

import pytest
import torch
from families import END, FAMILIES, IMAGE, VOCABULARY, family_policy, family_prompt
from torch.utils._python_dispatch import TorchDispatchMode

from observe_r1.config.rollout import Sampling
from observe_r1.policy.family import base_model
from observe_r1.policy.pack import pack_group
from observe_r1.rollout import decoder
from observe_r1.rollout.decoder import Decoder


def generate(policy, prompts, group_size: int, sampling: Sampling, **settings):
    generator = torch.Generator().manual_seed(3)
    randoms = torch.rand(len(prompts) * group_size, sampling.max_new_tokens, generator=generator)
    return Decoder(policy, prompts, randoms, group_size, sampling, **settings).run()


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


@pytest.mark.parametrize("stretch", [5, 256])
@pytest.mark.parametrize("name", FAMILIES)
def test_steps_of_fixed_shapes_draw_the_same_tokens(name: str, stretch: int, monkeypatch) -> None:
    """With a stretch of 5 the cache is looked at in several lengths, and sequences retire."""
    monkeypatch.setattr(decoder, "STRETCH", stretch)
    monkeypatch.setattr(decoder, "BETWEEN_LOOKS", 3)
    policy = replace(family_policy(name), end_ids=tuple(range(0, VOCABULARY, 12)))
    prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
    sampling = Sampling(temperature=0.8, max_new_tokens=30)
    growing = generate(policy, prompts, 4, sampling)
    fixed = generate(policy, prompts, 4, sampling, fixed=True)
    assert [c.token_ids for c in fixed] == [c.token_ids for c in growing]
    assert [c.truncated for c in fixed] == [c.truncated for c in growing]
    assert len({c.num_tokens for c in fixed}) > 3
    for one, other in zip(fixed, growing, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


class AsksNothing(TorchDispatchMode):
    """Fails when a step reads a tensor back to the host, or makes a shape from its contents."""

    ASKS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "equal")

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        name = function.overloadpacket.__name__
        assert not any(name.startswith(word) for word in self.ASKS), name
        indices = arguments[1] if name in ("index", "index_put", "index_put_") else ()
        assert all(index is None or index.dtype != torch.bool for index in indices), name
        return function(*arguments, **(settings or {}))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_of_fixed_shapes_asks_nothing_of_the_host(name: str, monkeypatch) -> None:
    """So that a GPU can record it."""
    policy = family_policy(name)
    prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
    step, watched = Decoder._step, []

    def watch(self: Decoder) -> None:
        with AsksNothing():
            step(self)
        watched.append(self.num_tokens)

    monkeypatch.setattr(Decoder, "_step", watch)
    generate(
        policy, prompts, 2, Sampling(max_new_tokens=4, top_p=0.9, top_k=20, min_p=0.01), fixed=True
    )
    assert watched
    with pytest.raises(AssertionError, match="_local_scalar_dense"), AsksNothing():
        bool(torch.ones(2).any())


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
