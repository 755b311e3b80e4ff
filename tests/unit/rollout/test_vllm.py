"""The real vLLM on a CPU. Greedy tokens equal Transformers' before and after the weights have moved."""

from pathlib import Path

import pytest
import torch

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import VLLM, Sampling
from observe_r1.config.stages import RLStage
from observe_r1.policy.load import load_policy
from observe_r1.records import read_rows
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.stages.rl import run_rl

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]  # its warnings are its own

SAMPLES = [fakes.sample(number, images=number % 3) for number in range(5)]
MODEL = "tiny"
SETTINGS = VLLM(enforce_eager=True, max_model_length=512, max_images=2)


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")


def greedy_tokens(engine) -> list[tuple[int, ...]]:
    groups = engine.generate(
        SAMPLES, group_size=1, sampling=Sampling(temperature=0, max_new_tokens=12),
        system_prompt="count", seed=0,
    )  # fmt: skip
    return [group.completions_G[0].token_ids for group in groups]


def test_vllm_follows_the_weights_and_says_their_log_probs() -> None:
    from observe_r1.rollout.vllm import VLLMEngine

    policy = load_policy(MODEL, PolicyConfig())
    engine, own = VLLMEngine(policy, SETTINGS), SharedPrefillEngine(policy)
    before = greedy_tokens(own)
    assert greedy_tokens(engine) == before
    with torch.no_grad():
        torch.manual_seed(1)
        for parameter in policy.packed.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    engine.sync(policy)
    assert greedy_tokens(own) != before
    assert greedy_tokens(engine) == greedy_tokens(own)
    groups = engine.generate(
        SAMPLES, group_size=3, sampling=Sampling(temperature=0.8, max_new_tokens=12),
        system_prompt="count", seed=5,
    )  # fmt: skip
    from observe_r1.policy.pack import pack_group

    rows = [
        pack_group(policy.encode(g.sample, "count"), [c.token_ids for c in g.completions_G])
        for g in groups
    ]
    trainer = policy.packed(rows, 0.8).logprobs_N
    sampler = torch.tensor([x for g in groups for c in g.completions_G for x in c.logprobs])
    assert torch.allclose(trainer, sampler, atol=1e-3)
    assert not set(policy.family.suppressed_ids) & {
        t for g in groups for c in g.completions_G for t in c.token_ids
    }
    engine.close()


def test_three_steps_of_training_with_vllm(tmp_path: Path) -> None:
    reward = Path(__file__).parents[1] / "train" / "vowel_reward.py"
    stage = RLStage.build(
        {
            "prompts_per_step": 2, "group_size": 3, "max_steps": 3, "system_prompt": "count",
            "rewards": [{"type": "user", "path": f"{reward}:evenness"}],
            "sampling": {"max_new_tokens": 8, "temperature": 1.5}, "engine": SETTINGS.model_dump(),
            "loss": {"type": "clipped", "truncated_importance": 2.0}, "optimizer": {"lr": 1e-3},
        },
        "test",
    )  # fmt: skip
    run_rl(stage, model=MODEL, samples=SAMPLES, run=tmp_path)
    rows = list(read_rows(tmp_path / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [1, 2, 3]
    measured = [row["mismatch/logprob"] for row in rows if "mismatch/logprob" in row]
    assert measured and max(measured) < 1e-3
