"""A probe by the built-in model is killed at random times: nothing is lost, nothing counts twice,
and what is measured is what a probe measures that nobody has stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from observe_r1.probe import read_probe, read_results

SCRIPT = Path(__file__).with_name("killable_probe.py")
LONGEST_LIFE = 0.3
"""After its first row, in times of what that row took: no clock of our own, whatever the machine."""
PATIENCE_SECONDS = 300


class Prober:
    """The process that starts probes on demand."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def start(self, folder: Path, samples: int, batch_size: int = 1) -> int:
        assert self.process.stdin is not None
        job = {"folder": str(folder), "samples": samples, "batch_size": batch_size}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return self.said("pid")

    def said(self, name: str) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())[name]


@contextmanager
def prober() -> Iterator[Prober]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with process:
        yield Prober(process)
        assert process.stdin is not None
        process.stdin.close()


def wait_for_rows(folder: Path, more_than: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(read_probe(folder))) <= more_than:
        assert time.monotonic() < deadline, "the probe stores nothing"
        time.sleep(0.01)


def assert_kills_change_nothing(folder: Path, kills: int, seed: int) -> None:
    rng, samples = random.Random(seed), 40 * kills  # more work than the kills leave time for
    with prober() as started:
        for _ in range(kills):
            before = list(read_probe(folder))
            began = time.monotonic()
            pid = started.start(folder, samples)
            wait_for_rows(folder, len(before))
            time.sleep(rng.uniform(0.0, LONGEST_LIFE) * (time.monotonic() - began))
            os.kill(pid, signal.SIGKILL)
            assert started.said("status") == -signal.SIGKILL, "it had ended before it was killed"
            assert list(read_probe(folder))[: len(before)] == before
        started.start(folder, samples)
        assert started.said("status") == 0
        undisturbed = folder.with_name("undisturbed")
        started.start(undisturbed, samples // 2, batch_size=5)
        assert started.said("status") == 0
    assert_whole(folder, samples)
    assert_same_rollouts(folder, undisturbed)


def assert_whole(folder: Path, samples: int) -> None:
    lines = (folder / "rollouts.jsonl").read_text().splitlines()
    keys = Counter((row["stage"], row["id"], row["round"]) for row in map(json.loads, lines))
    assert set(keys.values()) == {1}
    results = read_results(folder)
    assert len(results.difficulty) + len(results.answered_directly) == samples
    assert {d.num_rollouts for d in results.difficulty.values()} == {2}


def assert_same_rollouts(folder: Path, undisturbed: Path) -> None:
    """Kills, other neighbours and other batches change no rollout, but for what rounding may do."""
    found = {(r.stage, r.sample_id, r.round): r.completions for r in read_probe(folder)}
    texts = [
        (a.text, b.text)
        for row in read_probe(undisturbed)
        for a, b in zip(found[row.stage, row.sample_id, row.round], row.completions, strict=True)
    ]
    assert sum(a == b for a, b in texts) >= 0.98 * len(texts)


@pytest.mark.slow
def test_three_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    assert_kills_change_nothing(tmp_path / "probe", kills=3, seed=0)


@pytest.mark.slow
def test_twenty_kills_at_random_times_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    assert_kills_change_nothing(tmp_path / "probe", kills=20, seed=1)
