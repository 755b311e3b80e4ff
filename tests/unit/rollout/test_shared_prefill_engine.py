"""The built-in engine on a model of two layers."""

import gc

import pytest
import torch

import fakes
from observe_r1.config.rollout import SHARE_FOR_COMPLETIONS, Sampling, SharedPrefill
from observe_r1.policy.pack import pack_group
from observe_r1.policy.prompts import extend
from observe_r1.rollout import shared_prefill
from observe_r1.rollout.decoder import Decoder
from observe_r1.rollout.prefill import prefill
from observe_r1.rollout.shared_prefill import SharedPrefillEngine

SAMPLES = [fakes.sample(number, images=number % 3) for number in range(5)]
SAMPLING = Sampling(max_new_tokens=12, temperature=0.9)


@pytest.fixture(scope="module")
def engine() -> SharedPrefillEngine:
    return SharedPrefillEngine(fakes.tiny_policy())


def generate(engine, samples=SAMPLES, sampling=SAMPLING, **changes):
    settings = {"group_size": 3, "system_prompt": "count", "seed": 1} | changes
    return engine.generate(samples, sampling=sampling, **settings)


def tokens(groups) -> list:
    return [[c.token_ids for c in group.completions_G] for group in groups]


def test_equal_arguments_give_equal_groups(engine) -> None:
    assert generate(engine) == generate(engine)
    assert tokens(generate(engine)) != tokens(generate(engine, seed=2))
    assert tokens(generate(engine)) != tokens(generate(engine, step=1))


def test_nothing_is_kept_once_the_answers_are_there(engine) -> None:
    """A graph or a cache that outlives the call is memory that the update then lacks."""
    generate(engine)
    gc.collect()
    gc.disable()
    try:
        before = {id(t) for t in tensors_alive()}
        groups = generate(engine)
        kept = [t for t in tensors_alive() if id(t) not in before]
    finally:
        gc.enable()
    assert groups and kept == []


def test_sampling_records_no_graph(engine) -> None:
    prompts = [engine.policy.encode(sample, "count") for sample in SAMPLES]
    layers, hidden = prefill(engine.policy.packed, prompts)
    assert any(p.requires_grad for p in engine.policy.packed.parameters())
    assert not hidden.requires_grad
    assert not any(keys.requires_grad or values.requires_grad for keys, values in layers)


def tensors_alive() -> list[torch.Tensor]:
    return [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]


def test_turns_and_batches_do_not_change_what_is_drawn(engine) -> None:
    small = SharedPrefillEngine(engine.policy, SharedPrefill(max_sequences=3))
    assert tokens(generate(small)) == tokens(generate(engine))
    alone = [generate(engine, [sample])[0] for sample in SAMPLES]
    assert tokens(alone) == tokens(generate(engine))


def test_groups_come_in_the_samples_order_with_what_the_policy_saw(engine) -> None:
    groups = generate(engine)
    assert [group.sample.id for group in groups] == [sample.id for sample in SAMPLES]
    assert all(group.num_completions == 3 for group in groups)
    encoded = engine.policy.encode(SAMPLES[2], "count")
    assert groups[2].prompt_ids == tuple(encoded.ids_L.tolist())


def test_image_and_video_pads_are_never_drawn(engine) -> None:
    head = engine.policy.model.get_output_embeddings().weight
    kept = head.detach().clone()
    with torch.no_grad():
        for token in engine.policy.family.suppressed_ids:
            head[token] = 100 * head.mean(0)
    try:
        drawn = {t for group in generate(engine) for c in group.completions_G for t in c.token_ids}
        assert len(engine.policy.family.suppressed_ids) == 2
        assert not drawn & set(engine.policy.family.suppressed_ids)
    finally:
        with torch.no_grad():
            head.copy_(kept)


def test_a_completion_ends_with_its_end_token_and_says_if_it_was_cut(engine) -> None:
    """Every sixteenth byte ends a completion here, so sequences retire all the time."""
    ends = tuple(range(0, 256, 16))
    groups = generate(engine, sampling=SAMPLING.model_copy(update={"stop_token_ids": ends}))
    ends += engine.policy.end_ids
    completions = [c for group in groups for c in group.completions_G]
    assert {c.truncated for c in completions} == {True, False}
    for completion in completions:
        assert len(completion.logprobs) == completion.num_tokens <= 12
        assert not set(completion.token_ids[:-1]) & set(ends)
        assert completion.truncated == (completion.token_ids[-1] not in ends)
    # Retiring sequences changes nothing for the others.
    free = generate(engine)
    for group, whole in zip(groups, free, strict=True):
        for cut, completion in zip(group.completions_G, whole.completions_G, strict=True):
            assert completion.token_ids[: cut.num_tokens] == cut.token_ids


def test_a_stop_string_ends_a_completion_and_stays_in_it(engine) -> None:
    free = generate(engine)
    text = free[0].completions_G[0].text
    stop = text[3:5]
    found = generate(engine, sampling=SAMPLING.model_copy(update={"stop": (stop,)}))
    first = found[0].completions_G[0]
    assert first.text.endswith(stop) and not first.truncated
    assert first.num_tokens < free[0].completions_G[0].num_tokens


def test_decoding_goes_on_from_what_was_written(engine) -> None:
    """Stop after four tokens, go on greedily: the same as never having stopped."""
    greedy = SAMPLING.greedy()
    whole = generate(engine, sampling=greedy)
    written = [group.completions_G[0].token_ids[:4] for group in whole]
    rest = generate(engine, sampling=greedy, written_P=written)
    for one, other, begun in zip(whole, rest, written, strict=True):
        assert other.prompt_ids == (*one.prompt_ids, *begun)
        assert len({c.token_ids for c in other.completions_G}) == 1
        assert other.completions_G[0].token_ids[:8] == one.completions_G[0].token_ids[4:]


def test_branches_are_merged_and_gone_on_with(engine) -> None:
    """Several thoughts of one question, the last ones behind one another, and an answer to that;
    with the log-probs of a trainer who reads the same."""
    policy, sample = engine.policy, SAMPLES[1]
    thoughts = generate(engine, [sample])[0].completions_G
    merged = [token for thought in thoughts[1:] for token in thought.token_ids]
    both = [thoughts[0].token_ids, merged]  # two branches of one question, of unequal lengths
    found = generate(engine, [sample, sample], written_P=both)
    assert found == generate(engine, [sample, sample], written_P=both)
    for group, written in zip(found, both, strict=True):
        prompt = extend(policy.encode(sample, "count"), written)
        row = pack_group(prompt, [c.token_ids for c in group.completions_G])
        sampler = torch.tensor([value for c in group.completions_G for value in c.logprobs])
        trainer = policy.packed([row], SAMPLING.temperature).logprobs_N
        assert torch.allclose(trainer, sampler, atol=1e-5)


def test_no_samples_give_no_groups(engine) -> None:
    assert generate(engine, []) == []


def test_a_gpu_decodes_as_many_at_once_as_there_is_room_for(engine, monkeypatch) -> None:
    whole, turns = generate(engine), []

    class Watched(Decoder):
        def __init__(self, policy, prompts, *rest, **how) -> None:
            turns.append(len(prompts))
            super().__init__(policy, prompts, *rest, **how)

    config = engine.policy.model.config.get_text_config()
    width = config.num_key_value_heads * config.hidden_size // config.num_attention_heads
    a_completion = 2 * config.num_hidden_layers * width * SAMPLING.max_new_tokens * 4
    room = 7 * a_completion / SHARE_FOR_COMPLETIONS
    monkeypatch.setattr(shared_prefill, "Decoder", Watched)
    monkeypatch.setattr(shared_prefill, "free_memory", lambda device: room)
    assert tokens(generate(engine)) == tokens(whole)
    assert turns == [2, 2, 1], "groups of three, seven at once"
    monkeypatch.setattr(shared_prefill, "free_memory", lambda device: 0)
    assert tokens(generate(engine)) == tokens(whole), "a group is never cut"
