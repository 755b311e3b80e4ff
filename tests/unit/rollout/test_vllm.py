"""The real vLLM on a CPU. Greedy tokens equal Transformers' before and after the weights have moved."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fakes
from observe_r1.config.policy import LoRA, PolicyConfig
from observe_r1.config.rollout import VLLM, Sampling
from observe_r1.config.stages import RLStage
from observe_r1.errors import EngineError
from observe_r1.policy.family import freeze_parts, is_frozen
from observe_r1.policy.load import Policy, load_policy
from observe_r1.policy.pack import pack_group
from observe_r1.records import read_rows
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.rollout.vllm import VLLMEngine
from observe_r1.rollout.vllm_common import trained_weights
from observe_r1.stages.rl import run_rl

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]  # its warnings are its own

SAMPLES = [fakes.sample(number, images=number % 3) for number in range(5)]
MODEL = "tiny"
SETTINGS = VLLM(max_model_length=512, max_images=2)


@pytest.fixture(autouse=True, scope="module")
def small_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


@pytest.fixture(scope="module")
def engine() -> Iterator[VLLMEngine]:
    """Started once for all tests that read; those that change weights come last."""
    made = VLLMEngine(load_policy(MODEL, PolicyConfig()), SETTINGS)
    yield made
    made.close()


def draw(engine, samples=SAMPLES, group_size: int = 3, **sampling):
    settings = Sampling(**{"max_new_tokens": 12} | sampling)
    return engine.generate(
        samples, group_size=group_size, sampling=settings, system_prompt="count", seed=5
    )


def greedy_tokens(engine) -> list[tuple[int, ...]]:
    groups = draw(engine, group_size=1, temperature=0)
    return [group.completions_G[0].token_ids for group in groups]


def move(policy: Policy, seed: int) -> None:
    """Somewhere else with all weights that are trained."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.packed.parameters():
            if parameter.requires_grad:
                parameter += 0.01 * torch.randn_like(parameter)


def trainer_logprobs(policy: Policy, groups, temperature: float) -> torch.Tensor:
    rows = [
        pack_group(policy.encode(g.sample, "count"), [c.token_ids for c in g.completions_G])
        for g in groups
    ]
    return policy.packed(rows, temperature).logprobs_N


def test_greedy_tokens_and_texts_are_those_of_transformers(engine) -> None:
    own = SharedPrefillEngine(engine.policy)
    assert greedy_tokens(engine) == greedy_tokens(own)
    texts = [g.completions_G[0].text for g in draw(engine, group_size=1, temperature=0)]
    assert texts == [g.completions_G[0].text for g in draw(own, group_size=1, temperature=0)]


def test_log_probs_are_the_trainers_and_pads_are_never_drawn(engine) -> None:
    policy, temperature = engine.policy, 0.8
    groups = draw(engine, temperature=temperature)
    sampler = torch.tensor([x for g in groups for c in g.completions_G for x in c.logprobs])
    assert torch.allclose(trainer_logprobs(policy, groups, temperature), sampler, atol=1e-3)
    head = policy.model.get_output_embeddings().weight
    drawn = {t for g in groups for c in g.completions_G for t in c.token_ids}
    assert drawn and not set(policy.family.suppressed_ids) & drawn
    assert len(head) > max(policy.family.suppressed_ids)


def test_equal_arguments_give_equal_groups(engine) -> None:
    assert draw(engine) == draw(engine)
    texts = [[c.text for c in group.completions_G] for group in draw(engine, temperature=1.5)]
    assert any(len(set(group)) > 1 for group in texts)


def test_a_response_that_is_begun_is_gone_on_with(engine) -> None:
    whole = draw(engine, group_size=1, temperature=0)
    written = [group.completions_G[0].token_ids[:5] for group in whole]
    settings = Sampling(max_new_tokens=7, temperature=0)
    how = {"group_size": 2, "sampling": settings, "system_prompt": "count", "seed": 5}
    rest = engine.generate(SAMPLES, **how, written_P=written)
    for one, other, begun in zip(whole, rest, written, strict=True):
        assert other.prompt_ids == (*one.prompt_ids, *begun)
        assert other.completions_G[0].token_ids == one.completions_G[0].token_ids[5:]


def test_log_probs_after_a_filter_are_not_the_policys_and_not_handed_on(engine) -> None:
    for filters in ({"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1}):
        groups = draw(engine, **filters)
        assert all(c.num_tokens and not c.logprobs for g in groups for c in g.completions_G)


def test_a_stop_string_ends_a_completion_and_stays_in_it(engine) -> None:
    text = draw(engine)[0].completions_G[0].text
    stop = text[2:4]
    found = draw(engine, stop=(stop,))[0].completions_G[0]
    assert found.text.endswith(stop) and not found.truncated


def test_what_does_not_fit_is_refused_before_anything_is_cut_off(engine) -> None:
    with pytest.raises(EngineError, match="more than the 512 that vLLM has room for"):
        draw(engine, max_new_tokens=500)
    with pytest.raises(EngineError, match=r"3 images.*engine\.max_images"):
        draw(engine, [fakes.sample(1, images=3)])
    with pytest.raises(EngineError, match="refuses these settings of sampling"):
        draw(engine, temperature=9.0)


def test_an_engine_without_the_policys_weights_asks_all_the_same(engine) -> None:
    """Probing and evaluation load no second copy of the weights."""
    bare = load_policy(MODEL, PolicyConfig(), device="meta")
    assert {p.device.type for p in bare.packed.parameters()} == {"meta"}
    whole, engine.policy = engine.policy, bare
    try:
        found = greedy_tokens(engine)
    finally:
        engine.policy = whole
    assert found == greedy_tokens(engine)


def test_vllm_follows_the_weights(engine) -> None:
    policy, own = engine.policy, SharedPrefillEngine(engine.policy)
    before = greedy_tokens(own)
    move(policy, seed=1)
    engine.sync(policy)
    after = greedy_tokens(own)
    assert after != before
    assert greedy_tokens(engine) == after


def test_only_what_is_trained_is_sent_and_the_rest_stays(engine) -> None:
    policy, own = engine.policy, SharedPrefillEngine(engine.policy)
    freeze_parts(policy.model, vision=True, aligner=True, language=False)
    sent = [name for name, _ in trained_weights(policy)]
    assert sent and not any("visual" in name for name in sent)
    before = greedy_tokens(own)
    move(policy, seed=2)
    engine.sync(policy)
    assert greedy_tokens(own) != before
    assert greedy_tokens(engine) == greedy_tokens(own)


def test_adapters_are_handed_over_as_adapters() -> None:
    lora = LoRA(rank=4, alpha=8.0)
    policy = load_policy(MODEL, PolicyConfig(lora=lora, freeze_vision=True))
    engine, own = VLLMEngine(policy, SETTINGS), SharedPrefillEngine(policy)
    base = greedy_tokens(own)
    assert greedy_tokens(engine) == base  # fresh adapters change nothing
    seen = [base]
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            for name, parameter in policy.model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.2 * torch.randn_like(parameter))
        engine.sync(policy)
        seen.append(greedy_tokens(own))
        assert greedy_tokens(engine) == seen[-1]
    assert seen[0] != seen[1] != seen[2]
    assert len(list(Path(engine._adapters.name).iterdir())) == 1  # of the last sync only
    assert is_frozen(policy.model, "vision")
    engine.close()


def test_adapters_alone_are_no_model_to_vllm(tmp_path: Path) -> None:
    policy = load_policy(MODEL, PolicyConfig(lora=LoRA(rank=4)))
    policy.model.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="export model"):
        VLLMEngine(replace(policy, source=str(tmp_path)), SETTINGS)


def test_three_steps_of_training_with_vllm(tmp_path: Path) -> None:
    reward = Path(__file__).parents[1] / "train" / "vowel_reward.py"
    stage = RLStage.build(
        {
            "prompts_per_step": 2, "group_size": 3, "max_steps": 3, "system_prompt": "count",
            "rewards": [{"type": "user", "path": f"{reward}:evenness"}],
            "sampling": {"max_new_tokens": 8, "temperature": 1.5}, "engine": SETTINGS.model_dump(),
            "loss": {"type": "clipped"}, "optimizer": {"lr": 1e-3},
        },
        "test",
    )  # fmt: skip
    assert stage.loss.truncated_importance is not None
    run_rl(stage, model=MODEL, samples=SAMPLES, run=tmp_path)
    rows = list(read_rows(tmp_path / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [1, 2, 3]
    measured = [row["mismatch/logprob"] for row in rows if "mismatch/logprob" in row]
    assert measured and max(measured) < 1e-3
