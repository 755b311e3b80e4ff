"""Probing through servers as people run them: the same tiny model behind ``transformers serve``
and ``vllm serve``, asked through the OpenAI protocol with pictures."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fakes import byte_processor, picture, tiny_model
from observe_r1.config.rollout import Sampling
from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_probe, read_results
from observe_r1.probe.endpoint_engine import EndpointEngine
from observe_r1.types import Sample

START_SECONDS = 600


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def serving(command: Sequence[str], port: int, log: Path) -> Iterator[str]:
    """A server process that answers at /v1/models, ended with the block."""
    url = f"http://127.0.0.1:{port}/v1"
    cache = log.parent / "cache"  # the list of models is read from it: it has to exist
    cache.mkdir()
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not is_up(url):
                assert server.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.5)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def save_tiny(folder: Path) -> str:
    tiny_model().save_pretrained(folder)
    byte_processor().save_pretrained(folder)
    return str(folder)


def make_samples() -> list[Sample]:
    return [
        Sample(id=f"s{i}", question="<image> How many? <image>" if i % 2 else "How many?",
               answer="3", kind="number", images=(picture((40 * i, 9, 9)),) * (1 + i % 2))
        for i in range(4)
    ]  # fmt: skip


def probe_through(url: str, model: str, folder: Path) -> None:
    sampling = Sampling(max_new_tokens=6)
    config = ProbeConfig(
        rollouts=2, sampling=sampling, direct_max_tokens=4, batch_size=1, workers=3
    )
    engine = EndpointEngine([url, url], model=model, max_concurrency=3)
    with ProbeStore(folder, config.identity(model)) as store:
        summary = probe(make_samples(), engine, config, store)
    engine.close()
    assert summary.failed == ()
    measured = read_results(folder).difficulty
    assert set(measured) == {f"s{i}" for i in range(4)}
    reasoned = [row for row in read_probe(folder) if row.stage == "reasoned"]
    lengths = [c.num_tokens for row in reasoned for c in row.completions]
    assert len(lengths) == 8 and all(1 <= length <= 6 for length in lengths)
    assert any(c.truncated for row in reasoned for c in row.completions)


@pytest.mark.slow
def test_a_probe_runs_through_transformers_serve(tmp_path):
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi and uvicorn")
    pytest.importorskip("uvicorn")
    model, port = save_tiny(tmp_path / "model"), free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1",
               "--port", str(port), "--device", "cpu", "--dtype", "float32"]  # fmt: skip
    with serving(command, port, tmp_path / "log") as url:
        probe_through(url, model, tmp_path / "probe")


@pytest.mark.vllm
def test_a_probe_runs_through_vllm_serve(tmp_path):
    pytest.importorskip("vllm")
    model, port = save_tiny(tmp_path / "model"), free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", model, "--host",
               "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager",
               "--max-model-len", "2048"]  # fmt: skip
    with serving(command, port, tmp_path / "log") as url:
        probe_through(url, model, tmp_path / "probe")
