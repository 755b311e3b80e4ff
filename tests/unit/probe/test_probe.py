import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from observe_r1.config.rollout import Sampling
from observe_r1.data.difficulty import Difficulty
from observe_r1.errors import DataError, EngineError, RunError
from observe_r1.probe import (
    ProbeConfig,
    ProbeStore,
    probe,
    read_probe,
    read_results,
    write_difficulty,
)
from observe_r1.types import Completion, RolloutGroup, Sample

HERE = Path(__file__).parent


def make_samples(num: int) -> list[Sample]:
    return [Sample(id=f"s{i}", question="?", answer="3", kind="number") for i in range(num)]


class ScriptedEngine:
    """Answers "3" with a probability that falls from sample to sample; knows nothing of models."""

    def __init__(
        self,
        num_samples: int = 100,
        fails_on: frozenset[str] = frozenset(),
        refuses: frozenset[str] = frozenset(),
    ) -> None:
        self.num_samples = num_samples
        self.fails_on = fails_on
        self.refuses = refuses
        self.calls: list[tuple[str, ...]] = []

    def generate(self, samples_P, *, group_size, sampling, system_prompt, seed, step=0):
        self.calls.append(tuple(s.id for s in samples_P))
        if self.fails_on & {s.id for s in samples_P}:
            raise EngineError("the server is gone.")
        groups = []
        for sample in samples_P:
            if sample.id in self.refuses:
                refused = "status 400: against our rules."
                groups.append(RolloutGroup(sample=sample, completions_G=(), refused=refused))
                continue
            rng = random.Random(f"{seed}/{sample.id}")
            chance = 0.0 if "only" in system_prompt and "observe" not in system_prompt else None
            chance = 1 - int(sample.id[1:]) / self.num_samples if chance is None else chance
            texts = [
                f"<observe>o</observe><think>t</think><answer>{3 if rng.random() < chance else 5}</answer>"
                for _ in range(group_size)
            ]
            completions = tuple(Completion(text=t, token_ids=tuple(range(7))) for t in texts)
            groups.append(RolloutGroup(sample=sample, completions_G=completions))
        return groups

    def sync(self, policy):
        pass

    def close(self):
        pass


def run(folder: Path, samples, engine, **settings):
    config = ProbeConfig(batch_size=4, **settings)
    with ProbeStore(folder, config.identity("scripted")) as store:
        return probe(samples, engine, config, store)


def test_every_sample_gets_its_rollouts_once(tmp_path):
    summary = run(tmp_path, make_samples(10), ScriptedEngine(10))
    results = read_results(tmp_path)
    assert summary.num_rollouts == 10 + 10 * 8
    assert {d.num_rollouts for d in results.difficulty.values()} == {8}
    assert results.difficulty["s0"].solve_rate == 1.0
    assert results.difficulty["s0"].complexity == 7.0


def test_a_finished_probe_asks_nothing_again(tmp_path):
    run(tmp_path, make_samples(6), ScriptedEngine())
    engine = ScriptedEngine()
    assert run(tmp_path, make_samples(6), engine).num_groups == 0
    assert engine.calls == []


def test_more_rollouts_are_added_to_what_is_there(tmp_path):
    run(tmp_path, make_samples(3), ScriptedEngine(), rollouts=4, direct=False)
    summary = run(tmp_path, make_samples(3), ScriptedEngine(), rollouts=10, direct=False)
    assert summary.num_rollouts == 3 * 6
    assert {d.num_rollouts for d in read_results(tmp_path).difficulty.values()} == {10}
    rounds = Counter(row.round for row in read_probe(tmp_path))
    assert rounds == {0: 3, 1: 3}


def test_samples_at_the_ends_get_extra_rollouts_and_a_restart_adds_none(tmp_path):
    for _ in range(2):
        run(
            tmp_path,
            make_samples(20),
            ScriptedEngine(20),
            rollouts=4,
            extra_at_ends=6,
            direct=False,
        )
    by_id: dict[str, list[bool]] = {}
    for row in read_probe(tmp_path):
        by_id.setdefault(row.sample_id, []).extend(c.correct for c in row.completions)
    for found in by_id.values():
        at_an_end = sum(found[:4]) in (0, 4)
        assert len(found) == (10 if at_an_end else 4)
    assert {len(found) for found in by_id.values()} == {4, 10}


def test_what_is_answered_directly_goes_no_further(tmp_path):
    class Clever(ScriptedEngine):
        def generate(self, samples_P, *, group_size, sampling, system_prompt, seed, step=0):
            if group_size == 1:
                assert sampling.is_greedy
                texts = {s.id: "3" if s.id == "s1" else "4" for s in samples_P}
                return [
                    RolloutGroup(sample=s, completions_G=(Completion(text=texts[s.id]),))
                    for s in samples_P
                ]
            return super().generate(
                samples_P, group_size=group_size, sampling=sampling,
                system_prompt=system_prompt, seed=seed, step=step,
            )  # fmt: skip

    summary = run(tmp_path, make_samples(3), Clever())
    assert summary.num_answered_directly == 1
    results = read_results(tmp_path)
    assert results.answered_directly == {"s1"}
    assert set(results.difficulty) == {"s0", "s2"}


def test_a_failed_call_is_counted_and_tried_again_next_time(tmp_path):
    failing = ScriptedEngine(fails_on=frozenset({"s5"}))
    summary = run(tmp_path, make_samples(12), failing, direct=False)
    assert summary.failed == ("s4", "s5", "s6", "s7")
    assert len(read_results(tmp_path).difficulty) == 8
    assert run(tmp_path, make_samples(12), ScriptedEngine(), direct=False).failed == ()
    assert len(read_results(tmp_path).difficulty) == 12


def test_a_server_that_stays_away_ends_the_probe_with_what_there_is(tmp_path):
    failing = ScriptedEngine(fails_on=frozenset(f"s{i}" for i in range(4, 40)))
    with pytest.raises(EngineError, match="3 calls of the probe have failed"):
        run(tmp_path, make_samples(40), failing, direct=False, max_failures=2)
    assert len(read_results(tmp_path).difficulty) == 4


def test_refused_questions_are_no_failures_and_are_not_asked_again(tmp_path):
    refusing = ScriptedEngine(refuses=frozenset(f"s{i}" for i in range(0, 28, 4)))
    summary = run(tmp_path, make_samples(28), refusing, max_failures=2)
    assert summary.failed == ()
    assert summary.refused == tuple(sorted(refusing.refuses))
    assert summary.num_groups == 2 * 21
    results = read_results(tmp_path)
    assert len(results.difficulty) == 21
    assert results.refused == dict.fromkeys(refusing.refuses, "status 400: against our rules.")
    engine = ScriptedEngine()
    assert run(tmp_path, make_samples(28), engine).refused == summary.refused
    assert engine.calls == []
    others = make_samples(28)
    others[4] = replace(others[4], question="In other words?")
    assert len(run(tmp_path, others, engine).refused) == 6
    assert set(engine.calls) == {("s4",)}


class LateToRefuse(ScriptedEngine):
    """Refuses nothing before the first eight questions are answered and stored."""

    def __init__(self, store: Path) -> None:
        super().__init__(refuses=frozenset(f"s{i}" for i in range(8, 400)))
        self.rows = store / "rollouts.jsonl"

    def generate(self, samples_P, **how):
        until = time.monotonic() + 60
        while self.refuses & {sample.id for sample in samples_P} and time.monotonic() < until:
            if self.rows.exists() and self.rows.read_bytes().count(b"\n") >= 8:
                break
            time.sleep(0.01)
        return super().generate(samples_P, **how)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_server_that_refuses_nearly_everything_ends_the_probe(tmp_path, workers):
    refusing = LateToRefuse(tmp_path)
    with pytest.raises(EngineError, match=r"refused the last 10 questions.*against our rules"):
        run(tmp_path, make_samples(400), refusing, direct=False, workers=workers)
    assert len(refusing.calls) < 12
    assert len(read_results(tmp_path).difficulty) == 8


def test_refusals_of_a_server_that_answered_nothing_are_not_believed(tmp_path):
    refusing = ScriptedEngine(refuses=frozenset(f"s{i}" for i in range(40)))
    with pytest.raises(EngineError, match="refused every question"):
        run(tmp_path, make_samples(40), refusing, direct=False)
    assert run(tmp_path, make_samples(40), ScriptedEngine(40), direct=False).refused == ()
    assert len(read_results(tmp_path).difficulty) == 40


def test_rows_are_not_taken_for_other_questions_of_the_same_ids(tmp_path):
    samples = [
        Sample(id=f"s{i}", question=f"What is {i}?", answer=str(i), kind="number", images=(b"p",))
        for i in range(6)
    ]
    run(tmp_path, samples, ScriptedEngine(), direct=False)
    swapped = [replace(samples[1], id="s0"), replace(samples[0], id="s1"), *samples[2:]]
    for others in (
        swapped,
        [replace(samples[0], answer="9"), replace(samples[1], kind="text"), *samples[2:]],
        [replace(samples[0], images=(b"q",)), replace(samples[1], options=("1",)), *samples[2:]],
    ):
        engine = ScriptedEngine()
        with pytest.raises(DataError, match="2 of 6 probed questions, for example 's0'"):
            run(tmp_path, others, engine, direct=False)
        assert engine.calls == []


def test_new_questions_of_a_set_are_asked_and_no_others(tmp_path):
    run(tmp_path, make_samples(6), ScriptedEngine(), direct=False)
    engine = ScriptedEngine()
    run(tmp_path, [*make_samples(8)[6:], *make_samples(6)[2:]], engine, direct=False)
    assert engine.calls == [("s6", "s7")]


def test_a_probe_made_before_questions_were_hashed_can_be_gone_on_with(tmp_path):
    run(tmp_path, make_samples(4), ScriptedEngine(), direct=False)
    path = tmp_path / "rollouts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        del row["asked"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    engine = ScriptedEngine()
    assert run(tmp_path, make_samples(5), engine, direct=False).num_groups == 1
    assert len(read_results(tmp_path).difficulty) == 5


def test_several_workers_store_every_row_once(tmp_path):
    run(tmp_path, make_samples(40), ScriptedEngine(40), workers=4, direct=False)
    rows = list(read_probe(tmp_path))
    assert sorted(r.sample_id for r in rows) == sorted(s.id for s in make_samples(40))


def test_a_probe_of_another_model_is_refused_and_says_what_differs(tmp_path):
    run(tmp_path, make_samples(2), ScriptedEngine())
    with pytest.raises(RunError, match="model was 'scripted', is 'another'"):
        ProbeStore(tmp_path, ProbeConfig().identity("another"))
    hotter = ProbeConfig(sampling=Sampling(temperature=0.5))
    with pytest.raises(RunError, match=r"temperature was 1\.0, is 0\.5"):
        ProbeStore(tmp_path, hotter.identity("scripted"))


def test_two_probes_do_not_write_into_one_folder(tmp_path):
    identity = ProbeConfig().identity("scripted")
    with ProbeStore(tmp_path, identity), pytest.raises(RunError, match="another probe"):
        ProbeStore(tmp_path, identity)
    ProbeStore(tmp_path, identity).close()


def test_a_line_cut_off_by_a_kill_is_removed_and_asked_again(tmp_path):
    run(tmp_path, make_samples(8), ScriptedEngine(), direct=False)
    path = tmp_path / "rollouts.jsonl"
    whole = path.read_bytes()
    for cut in (1, 40, len(whole) // 3):
        path.write_bytes(whole[:-cut])
        run(tmp_path, make_samples(8), ScriptedEngine(), direct=False)
        ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
        assert sorted(ids) == [f"s{i}" for i in range(8)]


def test_a_row_that_stands_twice_counts_once(tmp_path):
    run(tmp_path, make_samples(1), ScriptedEngine(), direct=False)
    path = tmp_path / "rollouts.jsonl"
    path.write_text(path.read_text() * 2)
    assert read_results(tmp_path).difficulty["s0"].num_rollouts == 8


def test_a_folder_without_a_probe_names_the_command(tmp_path):
    with pytest.raises(DataError, match="data probe"):
        read_results(tmp_path)


def start_victim(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "slow_probe.py"), str(folder)],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip


def kill_at_random_times(folder: Path, kills: int, seed: int) -> None:
    """Kill a running probe again and again, let it finish, and count its rows."""
    rng = random.Random(seed)
    for _ in range(kills):
        victim = start_victim(folder)
        assert victim.stdout is not None
        victim.stdout.readline()  # it has begun to ask
        before = len(list(read_probe(folder)))
        time.sleep(rng.uniform(0.0, 0.25))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
        after = len(list(read_probe(folder)))
        assert after >= before
    final = start_victim(folder)
    final.communicate(timeout=120)
    assert final.returncode == 0
    lines = (folder / "rollouts.jsonl").read_text().splitlines()
    keys = Counter((row["stage"], row["id"], row["round"]) for row in map(json.loads, lines))
    assert set(keys.values()) == {1}
    assert len(keys) == 2 * 60
    assert {d.num_rollouts for d in read_results(folder).difficulty.values()} == {8}


def test_three_kills_lose_nothing_and_count_nothing_twice(tmp_path):
    kill_at_random_times(tmp_path / "probe", kills=3, seed=0)


@pytest.mark.slow
def test_twenty_kills_at_random_times_lose_nothing_and_count_nothing_twice(tmp_path):
    kill_at_random_times(tmp_path / "probe", kills=20, seed=1)


def test_what_a_probe_says_of_each_sample_is_written_beside_its_rollouts(tmp_path):
    run(tmp_path, make_samples(3), ScriptedEngine())
    results = read_results(tmp_path)
    lines = write_difficulty(tmp_path, results).read_text().splitlines()
    assert [Difficulty(**json.loads(line)) for line in lines] == list(results.difficulty.values())
