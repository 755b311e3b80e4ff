"""``data probe`` through the real vLLM, in this process and behind ``vllm serve``: the same solve
rates and lengths as through the built-in engine, as far as so many rollouts can tell."""

import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, variance

import pytest

from observe_r1.cli.main import call
from observe_r1.policy.load import resolve_model
from observe_r1.probe import ProbeRow, read_probe
from serving import free_port, serving

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]  # its warnings are its own

SAMPLES, ROLLOUTS, MAX_TOKENS = 24, 8, 96
BOUND = 5.0
"""Standard deviations: a fair comparison leaves them once in two million."""

Rows = dict[str, ProbeRow]


def run_probe(folder: Path, *options: str) -> Rows:
    status = call(
        ["data", "probe", str(folder), "--no-direct", "--max-tokens", str(MAX_TOKENS), *options]
    )
    assert status == 0
    rows = {row.sample_id: row for row in read_probe(folder / "probe")}
    shutil.move(folder / "probe", folder.parent / f"probe-{len(list(folder.parent.iterdir()))}")
    assert len(rows) == SAMPLES
    assert {len(row.completions) for row in rows.values()} == {ROLLOUTS}
    return rows


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probing") / "puzzles"
    assert call(["data", "import", "puzzles", "--out", str(folder), "--limit", str(SAMPLES)]) == 0
    return folder


@pytest.fixture(scope="module")
def expected(questions: Path) -> Rows:
    return run_probe(questions, "--engine", "shared_prefill")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built-in model behind ``vllm serve``, with sampling defaults as Qwen2-VL ships them:
    a client that says nothing of top-k would get eight times the same answer. Prompts are computed
    whole: vLLM on a CPU cannot take back random numbers of requests that have a seed."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(resolve_model("tiny"), folder / "tiny")
    path = folder / "tiny" / "generation_config.json"
    defaults = {"do_sample": True, "top_k": 1, "top_p": 0.001, "repetition_penalty": 1.05}
    path.write_text(json.dumps(json.loads(path.read_text()) | defaults))
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder / "tiny"),
               "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
               "--enforce-eager", "--no-enable-chunked-prefill", "--max-num-batched-tokens",
               "4096"]  # fmt: skip
    with serving(command, port, folder / "log", VLLM_CPU_KVCACHE_SPACE="1") as address:
        yield address


def assert_alike(found: Rows, expected: Rows) -> None:
    """Solve rates, spread and lengths of two probes of the same samples."""
    pairs = [(found[i].completions, expected[i].completions) for i in sorted(expected)]
    right = [(sum(c.correct for c in a), sum(c.correct for c in b)) for a, b in pairs]
    rates = [(a + b) / (2 * ROLLOUTS) for a, b in right]
    noise = [2 * ROLLOUTS * p * (1 - p) * 2 * ROLLOUTS / (2 * ROLLOUTS - 1) for p in rates]
    assert abs(sum(a - b for a, b in right)) <= BOUND * math.sqrt(sum(noise)) + 1
    # Sample by sample: a chi-square of as many degrees of freedom as samples that vary.
    varied = [((a - b) ** 2, v) for (a, b), v in zip(right, noise, strict=True) if v]
    chi_square, freedom = sum(d / v for d, v in varied), len(varied)
    assert chi_square <= freedom + BOUND * math.sqrt(2 * freedom) + 1
    lengths = [([c.num_tokens for c in a], [c.num_tokens for c in b]) for a, b in pairs]
    difference = sum(fmean(a) - fmean(b) for a, b in lengths)
    error = math.sqrt(sum((variance(a) + variance(b)) / ROLLOUTS for a, b in lengths))
    assert abs(difference) <= BOUND * error + 1
    distinct = [(len({c.text for c in a}), len({c.text for c in b})) for a, b in pairs]
    assert abs(sum(a - b for a, b in distinct)) <= 0.25 * SAMPLES * ROLLOUTS
    assert max(a for a, _ in distinct) > 1


def test_a_probe_in_process_measures_what_the_built_in_engine_measures(
    questions: Path, expected: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    assert_alike(run_probe(questions, "--engine", "vllm"), expected)


def test_a_probe_through_vllm_serve_measures_it_too(
    questions: Path, expected: Rows, url: str
) -> None:
    assert_alike(run_probe(questions, "--endpoint", url, "--concurrency", "8"), expected)


def test_a_model_behind_vllm_serve_is_evaluated(url: str, tmp_path: Path, capsys) -> None:
    status = call(
        ["eval", "served", "--endpoint", url, "--data", "puzzles", "--limit", "4", "--samples", "2",
         "--max-new-tokens", str(MAX_TOKENS), "--out", str(tmp_path / "out"), "--json"]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 2 and "served" in captured.err  # the server knows the model by another name
    status = call(
        ["eval", "tiny", "--endpoint", url, "--data", "puzzles", "--limit", "4", "--samples", "2",
         "--max-new-tokens", str(MAX_TOKENS), "--out", str(tmp_path / "out2"), "--json"]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    scores = json.loads(captured.out.splitlines()[-1])["scores"]
    assert scores["puzzles"]["num_questions"] == 4
    assert 1 <= scores["puzzles"]["mean_tokens"] <= MAX_TOKENS
