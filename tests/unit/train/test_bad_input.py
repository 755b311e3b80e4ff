"""What cannot be trained on is refused before the first step, by what it is and with the way out."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen2_5_VLProcessor

import fakes
from observe_r1.config.stages import RLStage
from observe_r1.errors import DataError, EngineError, ModelError, ObserveError
from observe_r1.policy.load import load_policy
from observe_r1.policy.prompts import PromptEncoder
from observe_r1.records import read_rows
from observe_r1.stages.rl import run_rl

SAMPLES = [fakes.sample(number) for number in range(3)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fakes.save_tiny(tmp_path_factory.mktemp("model"))


def stage(**changes: Any) -> RLStage:
    reward = Path(__file__).with_name("vowel_reward.py")
    values: dict[str, Any] = {
        "prompts_per_step": 2, "group_size": 2, "max_steps": 3, "system_prompt": "count",
        "rewards": [{"type": "user", "path": f"{reward}:evenness"}],
        "sampling": {"max_new_tokens": 4}, "curriculum": {"type": "shuffled", "epochs": None},
    }  # fmt: skip
    return RLStage.build(values | changes, "test")


def refused(what: RLStage, model: str, run: Path, samples: Any = SAMPLES) -> str:
    """The message; nothing was recorded."""
    with pytest.raises(ObserveError) as found:
        run_rl(what, model=model, samples=samples, run=run)
    assert not (run / "metrics.jsonl").exists() and not (run / "checkpoints").exists()
    return f"{type(found.value).__name__}: {found.value}"


def test_a_prompt_longer_than_the_budget(model: str, tmp_path: Path) -> None:
    long = [*SAMPLES, fakes.sample(4, question="why " * 80)]
    what = stage(policy={"max_tokens_per_microbatch": 200})
    message = refused(what, model, tmp_path, long)
    assert message.startswith(f"{DataError.__name__}: Sample 'sample-4' has a prompt of")
    assert "more than policy.max_tokens_per_microbatch (200)" in message
    assert "nothing is truncated silently" in message


def test_image_tokens_that_do_not_fit(model: str, tmp_path: Path) -> None:
    large = replace(SAMPLES[0], id="large", images=(fakes.picture(size=(112, 112)),) * 4)
    what = stage(policy={"max_tokens_per_microbatch": 100})
    message = refused(what, model, tmp_path, [*SAMPLES, large])
    assert "Sample 'large'" in message and "4 image(s) included" in message
    assert "Use smaller images" in message


def test_one_question_in_a_thousand_is_found(model: str, tmp_path: Path) -> None:
    many = [replace(SAMPLES[number % 3], id=f"{number}") for number in range(1000)]
    many[701] = fakes.sample(4, question="why " * 80)
    message = refused(stage(policy={"max_tokens_per_microbatch": 200}), model, tmp_path, many)
    assert "Sample 'sample-4' has a prompt of" in message


def test_a_held_out_question_that_does_not_fit(model: str, tmp_path: Path) -> None:
    """What is only measured need not fit a micro-batch, but the model."""
    what = stage(policy={"max_tokens_per_microbatch": 200}, max_steps=1)
    with pytest.raises(DataError, match=r"Sample 'sample-5' .* the model's positions \(4096\)"):
        run_rl(
            what, model=model, samples=SAMPLES, run=tmp_path / "long",
            held_out=[fakes.sample(5, question="why " * 1100)],
        )  # fmt: skip
    longer_than_a_batch = [fakes.sample(5, question="why " * 80)]
    run_rl(what, model=model, samples=SAMPLES, run=tmp_path, held_out=longer_than_a_batch)


def test_a_family_that_does_not_say_how_long_its_pictures_are(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Qwen2_5_VLProcessor, "_get_num_multimodal_tokens")
    large = replace(SAMPLES[0], id="large", images=(fakes.picture(size=(112, 112)),) * 4)
    what = stage(policy={"max_tokens_per_microbatch": 100})
    assert "Sample 'large'" in refused(what, model, tmp_path, [*SAMPLES, large])


def test_more_tokens_than_the_model_has_positions(model: str, tmp_path: Path) -> None:
    what = stage(sampling={"max_new_tokens": 5000}, policy={"max_tokens_per_microbatch": 9999})
    assert "more than the model's positions (4096)" in refused(what, model, tmp_path)


def test_a_model_that_takes_no_images(tmp_path: Path) -> None:
    policy = fakes.tiny_policy()
    family = replace(policy.family, image_token_id=None)
    encode = PromptEncoder(policy.model, policy.processor, family)
    with pytest.raises(ModelError, match=r"'sample-0' has images, but the model takes none"):
        encode(SAMPLES[0], "count")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, vocab_size=300,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    fakes.byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded as a vision-language model"):
        load_policy(str(tmp_path))


def test_vllm_that_is_not_there(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    message = refused(stage(engine={"type": "vllm"}), model, tmp_path)
    assert message.startswith(f"{EngineError.__name__}: engine.type is vllm, but vLLM is not")
    assert "scripts/vllm_env.sh" in message and "engine.type=shared_prefill" in message


def test_a_run_ends_when_its_minutes_are_over(model: str, tmp_path: Path) -> None:
    run_rl(stage(max_minutes=1e-9), model=model, samples=SAMPLES, run=tmp_path)
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1]


def test_a_warm_up_that_is_most_of_the_run_is_named(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    what = stage(max_steps=2, optimizer={"lr": 1e-3, "warmup": 75})
    run_rl(what, model=model, samples=[fakes.sample()], run=tmp_path)
    assert "rises for 75 of 2 updates" in caplog.text
    assert ".optimizer.warmup=1," in caplog.text
