"""Probing through ``transformers serve`` as people run it, asked with pictures. ``vllm serve`` has
tests of its own, in its own environment."""

import sys
from pathlib import Path

import pytest

from fakes import picture, save_tiny
from observe_r1.config.rollout import Endpoint, Sampling
from observe_r1.probe import (
    ProbeConfig,
    ProbeStore,
    ProbeSummary,
    probe,
    read_probe,
    read_results,
)
from observe_r1.rollout.endpoint import EndpointEngine
from observe_r1.types import Sample
from serving import free_port, serving


def make_samples() -> list[Sample]:
    return [
        Sample(id=f"s{i}", question="<image> How many? <image>" if i % 2 else "How many?",
               answer="3", kind="number", images=(picture((40 * i, 9, 9)),) * (1 + i % 2))
        for i in range(4)
    ]  # fmt: skip


def probe_through(url: str, model: str, folder: Path) -> ProbeSummary:
    """Probe four samples, two rollouts each, from three threads."""
    sampling = Sampling(max_new_tokens=6)
    config = ProbeConfig(
        rollouts=2, sampling=sampling, direct_max_tokens=4, batch_size=1, workers=3
    )
    engine = EndpointEngine(Endpoint(base_url=(url, url), model=model, max_concurrency=3))
    with ProbeStore(folder, config.identity(model)) as store:
        summary = probe(make_samples(), engine, config, store)
    engine.close()
    return summary


def assert_all_was_answered(summary: ProbeSummary, folder: Path) -> None:
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
        summary = probe_through(url, model, tmp_path / "probe")
    assert_all_was_answered(summary, tmp_path / "probe")
