"""Families that no list names are checked when they are met, and read plainly where they must be."""

import copy

import pytest
import torch
from families import END, IMAGE, OTHERS, family_policy, family_prompt

from observe_r1.config.rollout import Sampling
from observe_r1.errors import ModelError
from observe_r1.policy.family import base_model
from observe_r1.policy.load import Policy
from observe_r1.policy.pack import pack_group
from observe_r1.policy.prompts import EncodedPrompt
from observe_r1.rollout import shared_prefill
from observe_r1.rollout.plain import PlainDecoder
from observe_r1.rollout.shared_prefill import SharedPrefillEngine, shares_exactly

CASES = [("gemma4", 0), ("glm4v", 0), ("glm4v", 2)]


def by_transformers(policy: Policy, prompt: EncodedPrompt, count: int) -> tuple[int, ...]:
    extra = dict(prompt.vision)
    if policy.family.media_type_name:
        extra[policy.family.media_type_name] = (prompt.ids_L[None] == IMAGE).int()
    found = base_model(policy.model).generate(
        input_ids=prompt.ids_L[None], attention_mask=torch.ones(1, prompt.length, dtype=int),
        do_sample=False, max_new_tokens=count, eos_token_id=END, pad_token_id=0,
        suppress_tokens=list(policy.family.suppressed_ids), **extra,
    )  # fmt: skip
    return tuple(found[0, prompt.length :].tolist())


@pytest.mark.parametrize(("name", "images"), CASES)
def test_tokens_are_those_of_transformers_shared_or_not(name: str, images: int) -> None:
    policy = family_policy(name)
    prompt = family_prompt(policy, name, seed=1, images=images)
    assert name in OTHERS and not policy.packed.is_settled
    greedy = Sampling(temperature=0, max_new_tokens=20)
    wanted = by_transformers(policy, prompt, 20)
    engine = SharedPrefillEngine(policy)
    drawn = engine.complete([prompt], ["x"], group_size=2, sampling=greedy, seed=0)[0]
    assert [c.token_ids for c in drawn] == [wanted, wanted]
    assert engine._can_share is (name == "glm4v")
    assert policy.packed.separate is (name == "gemma4")
    assert PlainDecoder(policy, prompt, torch.rand(1, 20), greedy).run()[0].token_ids == wanted


@pytest.mark.parametrize(("name", "images"), CASES)
def test_sampler_and_trainer_agree_and_sequences_retire(name: str, images: int) -> None:
    policy = family_policy(name)
    object.__setattr__(policy, "end_ids", tuple(range(0, 300, 12)))
    prompt = family_prompt(policy, name, seed=1, images=images)
    sampling = Sampling(temperature=0.8, max_new_tokens=30)
    drawn = SharedPrefillEngine(policy).complete(
        [prompt], ["x"], group_size=6, sampling=sampling, seed=0
    )[0]
    row = pack_group(prompt, [c.token_ids for c in drawn])
    trainer = policy.packed([row], 0.8).logprobs_N
    sampler = torch.tensor([value for c in drawn for value in c.logprobs])
    assert torch.allclose(trainer, sampler, atol=1e-5, rtol=0)
    assert len({c.num_tokens for c in drawn}) > 2
    plain = PlainDecoder(
        policy, prompt, torch.rand(6, 30, generator=torch.Generator().manual_seed(2)), sampling
    ).run()
    assert len({c.num_tokens for c in plain}) > 2 and not all(c.truncated for c in plain)


def test_a_cache_that_gives_other_log_probs_is_not_shared(monkeypatch, caplog) -> None:
    policy = family_policy("glm4v")
    prompt = family_prompt(policy, "glm4v", seed=1)
    moved = copy.deepcopy(policy.packed.model)
    with torch.no_grad():
        moved.lm_head.weight *= 1.5
    honest = shared_prefill.Decoder

    def wrong(*arguments, **settings):
        decoder = honest(*arguments, **settings)
        decoder.read = lambda hidden: policy.packed.read(moved.lm_head(hidden), 1.0)
        return decoder

    assert shares_exactly(policy, prompt, fixed=False)
    monkeypatch.setattr(shared_prefill, "Decoder", wrong)
    assert not shares_exactly(policy, prompt, fixed=False)
    assert "The cache of glm4v gives log-probs that differ by" in caplog.text


def test_a_model_that_cannot_be_drawn_from_at_all_is_refused(monkeypatch) -> None:
    policy = family_policy("gemma4")
    prompt = family_prompt(policy, "gemma4", seed=1, images=0)
    monkeypatch.setattr(PlainDecoder, "_step", lambda self, cache: 1 / 0)
    with pytest.raises(ModelError, match="gemma4 cannot be sampled here: read without any sharing"):
        SharedPrefillEngine(policy).complete(
            [prompt], ["x"], group_size=2, sampling=Sampling(max_new_tokens=4), seed=0
        )
