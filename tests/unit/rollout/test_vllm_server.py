"""The real ``vllm serve`` on a CPU follows the policy's weights and adapters; what cannot work is
refused by name."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fakes
from observe_r1.config.policy import LoRA, PolicyConfig
from observe_r1.config.rollout import Sampling, VLLMServer
from observe_r1.config.stages import RLStage
from observe_r1.errors import ConfigError, EngineError
from observe_r1.policy.family import freeze_parts
from observe_r1.policy.load import Policy, load_policy, resolve_model
from observe_r1.policy.pack import pack_group
from observe_r1.records import read_rows
from observe_r1.rollout import vllm_server
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.rollout.vllm_common import named_weights, trained_weights
from observe_r1.rollout.vllm_server import (
    VLLMServerEngine,
    serve_command,
    with_pictures,
    write_shards,
)
from observe_r1.stages.rl import build_engine, run_rl
from observe_r1.train.distribute import Processes
from serving import free_port, serving

SAMPLES = [fakes.sample(number, images=number % 3) for number in range(5)]
MODEL = "tiny"


def draw(engine: Any, group_size: int = 3, **sampling: Any):
    settings = Sampling(**{"max_new_tokens": 12} | sampling)
    return engine.generate(
        SAMPLES, group_size=group_size, sampling=settings, system_prompt="count", seed=5
    )


def greedy_tokens(engine: Any) -> list[tuple[int, ...]]:
    groups = draw(engine, group_size=1, temperature=0)
    return [group.completions_G[0].token_ids for group in groups]


# --- without vLLM -------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """A server that lists a model, and says of itself what the test wants."""

    info: dict[str, Any] | None = None

    def do_GET(self) -> None:
        models = {"data": [{"id": "m", "max_model_len": 64, "owned_by": "vllm"}]}
        found = models if self.path == "/v1/models" else self.info
        body = json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_server_is_refused_with_the_command_that_starts_one() -> None:
    with socket.socket() as taken:  # and not listened at
        taken.bind(("127.0.0.1", 0))
        settings = VLLMServer(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(
            EngineError, match=r"no vLLM server answers.*\n.*vllm serve fake --host"
        ):
            VLLMServerEngine(fakes.tiny_policy(), settings)


def test_a_server_that_takes_no_weights_or_tells_other_log_probs_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = VLLMServer(base_url=url)
    with pytest.raises(EngineError, match=r"takes no new weights.*\n.*VLLM_SERVER_DEV_MODE=1"):
        VLLMServerEngine(fakes.tiny_policy(), settings)
    plain = {"vllm_config": {"model_config": {"logprobs_mode": "raw_logprobs"}}}
    monkeypatch.setattr(Answers, "info", plain)
    with pytest.raises(EngineError, match=r"says raw_logprobs.*\n.*processed_logprobs"):
        VLLMServerEngine(fakes.tiny_policy(), settings)
    right = {"model_config": {"logprobs_mode": "processed_logprobs"}, "lora_config": None}
    monkeypatch.setattr(Answers, "info", {"vllm_config": right})
    with pytest.raises(EngineError, match=r"takes no adapters.*\n.*--max-lora-rank 8"):
        VLLMServerEngine(fakes.tiny_policy(lora={"rank": 4}), settings)


def test_the_command_names_what_training_needs() -> None:
    command = serve_command(fakes.tiny_policy(), VLLMServer(base_url="http://10.0.0.7:9000/v1/"))
    assert "--host 10.0.0.7 --port 9000 --dtype float32" in command
    with pytest.raises(ConfigError, match="no address"):
        VLLMServer.build({"base_url": "10.0.0.7:9000"}, "the engine")


def test_filters_sharded_adapters_and_importance_weights_are_refused_as_in_one_process() -> None:
    engine = {"engine": {"type": "vllm_server"}}
    with pytest.raises(ConfigError, match="truncated_importance needs them before"):
        RLStage.build(engine | {"sampling": {"top_p": 0.9}}, "test")
    stage = RLStage.build(engine | {"policy": {"lora": {}}}, "test")
    with pytest.raises(ConfigError, match=r"adapters.*sharded.*vLLM"):
        build_engine(stage, fakes.tiny_policy(), Processes(sharded=True))


def test_pictures_take_the_places_that_were_kept_for_them() -> None:
    kept = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "image"}]
    messages = [{"role": "system", "content": kept[:1]}, {"role": "user", "content": kept}]
    system, user = with_pictures(messages, [fakes.picture((1, 2, 3)), fakes.picture((4, 5, 6))])
    assert system == messages[0]
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "image_url"]
    assert user["content"][1] != user["content"][2]


def test_weights_are_written_in_shards_that_hold_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = fakes.tiny_policy()
    monkeypatch.setattr(vllm_server, "SHARD_BYTES", 10_000)
    write_shards(named_weights(policy), tmp_path / "new", keep=True)
    files = sorted((tmp_path / "new").iterdir())
    found = {name: value for file in files for name, value in load_file(file).items()}
    wanted = dict(named_weights(policy))
    assert len(files) > 2 and found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert "lm_head.weight" in found  # tied: vLLM wants both names
    freeze_parts(policy.model, vision=True, aligner=True, language=False)
    assert dict(trained_weights(policy)).keys() < wanted.keys()
    write_shards(named_weights(policy), tmp_path / "other", keep=False)
    assert not (tmp_path / "other").exists()


# --- with vLLM ----------------------------------------------------------------------------------

real = pytest.mark.vllm
theirs = pytest.mark.filterwarnings("default")  # vLLM's warnings are its own


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    """One server for all tests, with room for adapters. On a CPU prompts are computed whole."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", resolve_model(MODEL),
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager",
        "--logprobs-mode", "processed_logprobs", "--chat-template-content-format", "openai",
        "--max-model-len", "512", "--max-num-batched-tokens", "8192",
        "--no-enable-chunked-prefill", "--enable-lora", "--max-lora-rank", "8",
    ]  # fmt: skip
    variables = {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_LOGGING_LEVEL": "WARNING",
    }  # fmt: skip
    with serving(command, port, folder / "log.txt", **variables) as url:
        yield VLLMServer(base_url=url, weights_folder=str(folder))


def move(policy: Policy, seed: int, part: str = "", size: float = 0.01) -> None:
    """Somewhere else with the trained weights whose names hold ``part``."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in policy.packed.named_parameters():
            if parameter.requires_grad and part in name:
                parameter += size * torch.randn_like(parameter)


@real
@theirs
def test_a_server_draws_what_the_trainer_reads(served: VLLMServer) -> None:
    policy = load_policy(MODEL, PolicyConfig())
    engine, own = VLLMServerEngine(policy, served), SharedPrefillEngine(policy)
    assert greedy_tokens(engine) == greedy_tokens(own)
    groups = draw(engine, temperature=0.8)
    assert groups == draw(engine, temperature=0.8)
    drawn = {t for g in groups for c in g.completions_G for t in c.token_ids}
    assert drawn and not set(policy.family.suppressed_ids) & drawn
    rows = [
        pack_group(policy.encode(g.sample, "count"), [c.token_ids for c in g.completions_G])
        for g in groups
    ]
    sampler = torch.tensor([x for g in groups for c in g.completions_G for x in c.logprobs])
    assert torch.allclose(policy.packed(rows, 0.8).logprobs_N, sampler, atol=1e-3)
    assert all(not c.logprobs for g in draw(engine, top_p=0.9) for c in g.completions_G)
    stop = groups[0].completions_G[0].text[2:4]
    assert draw(engine, temperature=0.8, stop=(stop,))[0].completions_G[0].text.endswith(stop)
    with pytest.raises(EngineError, match="more than the 512 that vLLM has room for"):
        draw(engine, max_new_tokens=500)
    engine.close()


@real
@theirs
def test_a_response_that_is_begun_is_gone_on_with(served: VLLMServer) -> None:
    engine = VLLMServerEngine(load_policy(MODEL, PolicyConfig()), served)
    whole = draw(engine, group_size=1, temperature=0)
    written = [group.completions_G[0].token_ids[:5] for group in whole]
    settings = Sampling(max_new_tokens=7, temperature=0)
    how = {"group_size": 2, "sampling": settings, "system_prompt": "count", "seed": 5}
    rest = engine.generate(SAMPLES, **how, written_P=written)
    for one, other, begun in zip(whole, rest, written, strict=True):
        assert other.prompt_ids == (*one.prompt_ids, *begun)
        assert other.completions_G[0].token_ids == one.completions_G[0].token_ids[5:]
    engine.close()


@real
@theirs
def test_a_server_follows_the_weights_and_the_frozen_ones_stay(served: VLLMServer) -> None:
    policy = load_policy(MODEL, PolicyConfig())
    engine, own = VLLMServerEngine(policy, served), SharedPrefillEngine(policy)
    seen = [greedy_tokens(own)]
    for seed, frozen in ((1, False), (2, True)):
        freeze_parts(policy.model, vision=frozen, aligner=frozen, language=False)
        move(policy, seed)
        engine.sync(policy, seed)
        seen.append(greedy_tokens(own))
        assert greedy_tokens(engine) == seen[-1]
    assert seen[0] != seen[1] != seen[2]
    assert draw(engine)[0].policy_version == 2
    assert not list(engine._folder.iterdir())  # nothing is left behind
    engine.close()
    # The next run begins with its own weights, whatever the server has.
    fresh = load_policy(MODEL, PolicyConfig())
    again = VLLMServerEngine(fresh, served)
    assert greedy_tokens(again) == seen[0]
    move(fresh, 3)
    again.sync(fresh)
    again.close()
    # So does one that trains adapters and sends no other weights later.
    adapted = VLLMServerEngine(
        load_policy(MODEL, PolicyConfig(lora=LoRA(rank=4, alpha=8.0))), served
    )
    assert greedy_tokens(adapted) == seen[0]
    adapted.close()


@real
@theirs
def test_a_server_follows_adapters(served: VLLMServer) -> None:
    policy = load_policy(MODEL, PolicyConfig(lora=LoRA(rank=4, alpha=8.0)))
    engine, own = VLLMServerEngine(policy, served), SharedPrefillEngine(policy)
    seen = [greedy_tokens(own)]
    assert greedy_tokens(engine) == seen[0]  # fresh adapters change nothing
    for seed in (1, 2):
        move(policy, seed, "lora_B", 0.2)
        engine.sync(policy)
        seen.append(greedy_tokens(own))
        assert greedy_tokens(engine) == seen[-1]
    assert seen[0] != seen[1] != seen[2]
    assert len(list(engine._folder.iterdir())) == 1  # of the last sync only
    engine.close()


@real
@theirs
@pytest.mark.parametrize("staleness", [0, 1])
def test_three_steps_of_training_with_a_server(
    served: VLLMServer, tmp_path: Path, staleness: int
) -> None:
    """One step behind, the server draws while the update runs, and takes no weights meanwhile."""
    reward = Path(__file__).parents[1] / "train" / "vowel_reward.py"
    stage = RLStage.build(
        {
            "prompts_per_step": 2, "group_size": 3, "max_steps": 3, "system_prompt": "count",
            "rewards": [{"type": "user", "path": f"{reward}:evenness"}],
            "sampling": {"max_new_tokens": 8, "temperature": 1.5}, "engine": served.model_dump(),
            "loss": {"type": "clipped"}, "optimizer": {"lr": 1e-3}, "staleness": staleness,
        },
        "test",
    )  # fmt: skip
    run_rl(stage, model=MODEL, samples=SAMPLES, run=tmp_path)
    rows = list(read_rows(tmp_path / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["staleness"] for row in rows] == [0, staleness, staleness]
    fresh = [row["mismatch/logprob"] for row in rows if row["staleness"] == 0]
    assert fresh and max(fresh) < 1e-3
