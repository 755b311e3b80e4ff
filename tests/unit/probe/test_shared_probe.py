import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from shared_worker import NUM_SAMPLES, run_worker
from test_probe import ScriptedEngine, make_samples

from observe_r1.data.store import read_samples, write_samples
from observe_r1.errors import EngineError, RunError
from observe_r1.probe import ProbeConfig, ProbeStore, read_results
from observe_r1.probe.shared import fingerprint, shared_probe, work_on_probe
from observe_r1.shared import ShareSettings, open_bucket

HERE = Path(__file__).parent


def keys_of(folder: Path) -> Counter:
    lines = (folder / "rollouts.jsonl").read_text().splitlines()
    return Counter((row["stage"], row["id"], row["round"]) for row in map(json.loads, lines))


def assert_complete(folder: Path) -> None:
    assert set(keys_of(folder).values()) == {1}
    assert len(keys_of(folder)) == 2 * NUM_SAMPLES
    measured = read_results(folder).difficulty
    assert {d.num_rollouts for d in measured.values()} == {8}
    assert len(measured) == NUM_SAMPLES


def test_what_is_collected_does_not_depend_on_the_number_of_workers(tmp_path):
    assert run_worker(str(tmp_path / "one"), tmp_path / "a", ScriptedEngine(60)) == 0
    store = str(tmp_path / "two")
    missing = run_worker(store, tmp_path / "b", ScriptedEngine(60), shard=1, num_shards=2)
    assert missing == 7
    assert run_worker(store, tmp_path / "b", ScriptedEngine(60), shard=2, num_shards=2) == 0
    assert_complete(tmp_path / "a")
    one, other = ((tmp_path / n / "rollouts.jsonl").read_bytes() for n in "ab")
    assert one == other


def test_a_server_that_stays_away_ends_the_worker_and_another_one_goes_on(tmp_path):
    config, samples = ProbeConfig(batch_size=1, max_failures=2), make_samples(12)
    identity = config.identity("scripted")

    class Dying(ScriptedEngine):
        def generate(self, *arguments, **settings):
            if len(self.calls) >= 3:
                raise EngineError("the server is gone.")
            return super().generate(*arguments, **settings)

    def work(engine):
        shared = shared_probe(
            samples, config, open_bucket(str(tmp_path / "store")), identity, tmp_path / "probe",
            ShareSettings(block_size=4, poll_seconds=0.01),
        )  # fmt: skip
        return work_on_probe(shared, samples, engine, config)

    with pytest.raises(EngineError, match="run the same command again"):
        work(Dying(12))
    blocks, asked = work(ScriptedEngine(12))
    assert (blocks.missing, asked.failed) == (0, ())
    assert 0 < asked.num_rollouts < 12 + 12 * 8  # the rest was there already


def test_a_few_failures_are_left_to_the_next_run(tmp_path):
    store, folder = str(tmp_path / "store"), tmp_path / "probe"
    failing = ScriptedEngine(60, fails_on=frozenset({"s7"}))
    assert run_worker(store, folder, failing) == 1
    assert not (folder / "rollouts.jsonl").exists()
    assert run_worker(store, folder, ScriptedEngine(60)) == 0
    assert_complete(folder)


def test_a_refused_question_leaves_no_block_missing(tmp_path):
    store, folder = str(tmp_path / "store"), tmp_path / "probe"
    assert run_worker(store, folder, ScriptedEngine(60, refuses=frozenset({"s7"}))) == 0
    assert len(read_results(folder).difficulty) == NUM_SAMPLES - 1


def test_a_server_that_refuses_every_block_ends_the_worker(tmp_path):
    refusing = ScriptedEngine(60, refuses=frozenset(f"s{i}" for i in range(NUM_SAMPLES)))
    with pytest.raises(EngineError, match="refused every question"):
        run_worker(str(tmp_path / "store"), tmp_path / "probe", refusing)
    assert len(refusing.calls) < 10
    assert run_worker(str(tmp_path / "store"), tmp_path / "probe", ScriptedEngine(60)) == 0
    measured = read_results(tmp_path / "probe").difficulty
    assert [d.num_rollouts for d in measured.values()] == [8] * NUM_SAMPLES


def test_a_refused_question_that_a_worker_meets_first_is_left_out_by_the_next_one(tmp_path):
    config, samples = ProbeConfig(batch_size=1), make_samples(3)
    identity = config.identity("scripted")

    def work(engine, *, shard: int):
        shared = shared_probe(
            samples, config, open_bucket(str(tmp_path / "store")), identity, tmp_path / "probe",
            ShareSettings(block_size=1, shard=shard, num_shards=3, poll_seconds=0.01),
        )  # fmt: skip
        return work_on_probe(shared, samples, engine, config)

    refusing = ScriptedEngine(3, refuses=frozenset({"s1"}))
    with pytest.raises(EngineError, match="refused every question"):
        work(refusing, shard=2)
    assert work(refusing, shard=1)[0].missing == 2
    blocks, asked = work(refusing, shard=2)
    assert (blocks.missing, asked.refused) == (1, ("s1",))


def test_a_probe_made_without_a_store_is_not_overwritten(tmp_path):
    with ProbeStore(tmp_path / "probe", ProbeConfig().identity("scripted")) as store:
        store.append([])
    (tmp_path / "probe" / "rollouts.jsonl").write_text("")
    with pytest.raises(RunError, match="made without --store"):
        run_worker(str(tmp_path / "store"), tmp_path / "probe", ScriptedEngine(60))


def test_a_store_of_other_questions_is_refused(tmp_path):
    config = ProbeConfig()
    bucket, identity = open_bucket(str(tmp_path)), config.identity("m")
    shared_probe(make_samples(4), config, bucket, identity, tmp_path, ShareSettings())
    with pytest.raises(RunError, match="questions is"):
        changed = [*make_samples(3), *make_samples(5)[4:]]
        shared_probe(changed, config, bucket, identity, tmp_path, ShareSettings())


def test_a_data_folder_has_the_fingerprint_of_its_samples(tmp_path):
    samples = make_samples(5)
    write_samples(tmp_path, samples)
    assert fingerprint(read_samples(tmp_path)) == fingerprint(samples)
    assert fingerprint(samples) != fingerprint(samples[::-1])


def start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "shared_worker.py"), str(folder), name]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(HERE)}
    )


def kill_workers(folder: Path, kills: int, seed: int) -> None:
    """Three workers, one of them killed and replaced again and again; then all may finish."""
    rng = random.Random(seed)
    workers = [start(folder, f"probe-{n}") for n in range(3)]
    for kill in range(kills):
        time.sleep(rng.uniform(0.0, 0.4))
        place = rng.randrange(3)
        workers[place].send_signal(signal.SIGKILL)
        workers[place].communicate()
        workers[place] = start(folder, f"probe-{3 + kill}")
    for worker in workers:
        worker.communicate(timeout=300)
        assert worker.returncode == 0
    collected = sorted(folder.glob("probe-*/rollouts.jsonl"))
    assert collected
    for path in collected:
        assert_complete(path.parent)
    assert len({path.read_bytes() for path in collected}) == 1


def test_what_a_killed_worker_had_begun_is_done_by_another_one(tmp_path):
    victim = start(tmp_path, "victim")
    assert victim.stdout is not None
    victim.stdout.readline()  # it has begun to ask
    victim.kill()
    victim.communicate()
    assert run_worker(str(tmp_path / "store"), tmp_path / "probe", ScriptedEngine(60)) == 0
    assert_complete(tmp_path / "probe")


@pytest.mark.slow
def test_workers_killed_at_twelve_random_times_lose_nothing(tmp_path):
    kill_workers(tmp_path, kills=12, seed=1)
