"""Rollouts drawn beside the update, by a server that speaks vLLM's protocol: nothing but time
changes, and nothing outlives the run. The real vLLM does the same in ``test_vllm_server.py``."""

import json
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_resume import assert_equal_runs, forget_step_4, rows, stage

import fakes
from observe_r1.rollout.vllm_server import VLLMServerEngine
from observe_r1.stages.rl import run_rl
from observe_r1.train.optimise import Optimiser

SAMPLES = [
    replace(fakes.sample(n, images=n % 3), question=f"how many, {n}?", answer=str(n % 2))
    for n in range(12)
]


class Served(ThreadingHTTPServer):
    """What is asked for with equal seeds is answered alike; some is answered only when told to."""

    daemon_threads = True

    def __init__(self, prompts: dict[str, tuple[int, ...]]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.prompts = prompts
        self.held_from: int | None = None
        """The number of the first request that is held, counted from 0."""
        self.num_asked = 0
        self.is_held = threading.Event()
        self.may_answer = threading.Event()

    @property
    def engine(self) -> dict[str, Any]:
        return {"type": "vllm_server", "base_url": f"http://127.0.0.1:{self.server_port}"}


class Answers(BaseHTTPRequestHandler):
    server: Served
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            return self.reply({"data": [{"id": "m", "max_model_len": 4096}]})
        settings = {"model_config": {"logprobs_mode": "processed_logprobs"}, "lora_config": None}
        return self.reply({"vllm_config": settings})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or "{}")
        if "messages" not in body:
            return self.reply({"success": True})
        number, self.server.num_asked = self.server.num_asked, self.server.num_asked + 1
        if self.server.held_from is not None and number >= self.server.held_from:
            self.server.is_held.set()
            self.server.may_answer.wait(60)
        question = body["messages"][-1]["content"][-1]["text"]
        rng = random.Random(body["seed"])
        choices = [completion(rng, n) for n in range(body["n"])]
        return self.reply({"prompt_token_ids": self.server.prompts[question], "choices": choices})

    def reply(self, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def completion(rng: random.Random, index: int) -> dict[str, Any]:
    ids = [rng.randrange(10, 60) for _ in range(4)]
    text = f"<answer>{rng.randrange(2)}</answer>" + rng.choice("abcdef")
    return {
        "index": index, "token_ids": ids, "finish_reason": "stop",
        "message": {"content": text},
        "logprobs": {"content": [{"logprob": -3.0} for _ in ids]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fakes.save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def server() -> Iterator[Served]:
    policy = fakes.tiny_policy()
    served = Served({s.question: tuple(policy.encode(s, "count").ids_L.tolist()) for s in SAMPLES})
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.may_answer.set()
    served.shutdown()
    thread.join()
    served.server_close()


def draw_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("draws")]


def test_beside_an_update_as_in_turn_and_resumed_with_draws_waiting(
    server: Served, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, beside, killed = tmp_path / "turn", tmp_path / "beside", tmp_path / "killed"
    redraws = {"redraw": {"max_rounds": 2}, "admission": {"type": "mixed"}}
    settings = stage(4, engine=server.engine, staleness=2, **redraws)
    with monkeypatch.context() as patched:
        patched.setattr(VLLMServerEngine, "is_apart", False)
        run_rl(settings, model=model, samples=SAMPLES, run=turn)
    run_rl(settings, model=model, samples=SAMPLES, run=beside)
    assert_equal_runs(turn, beside)
    assert any(row["groups/rounds"] > 1 for row in rows(turn, "metrics.jsonl"))
    assert [row["staleness"] for row in rows(beside, "metrics.jsonl")] == [0, 1, 2, 2]
    shutil.copytree(beside, killed, symlinks=True)
    forget_step_4(killed)
    run_rl(settings, model=model, samples=SAMPLES, run=killed, resume=True)
    assert_equal_runs(beside, killed)
    assert not draw_threads()


def test_a_run_that_fails_in_an_update_does_not_wait_for_the_server(
    server: Served, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        assert server.is_held.wait(30), "the next step is being drawn"
        raise KeyboardInterrupt

    monkeypatch.setattr(Optimiser, "update", stop)
    server.held_from = 2
    with pytest.raises(KeyboardInterrupt):
        run_rl(stage(4, engine=server.engine, staleness=1), model=model, samples=SAMPLES,
               run=tmp_path / "run")  # fmt: skip
    assert not draw_threads()
    assert not server.may_answer.is_set(), "cut off, not answered"
