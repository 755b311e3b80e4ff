"""Many workers answer what one would have answered, and the folder is the same."""

import random
import threading
from pathlib import Path

import pytest
from test_evaluate import RIGHT, WRONG, ScriptedEngine, make_samples

from observe_r1.config.evaluation import Evaluation
from observe_r1.errors import EngineError, RunError
from observe_r1.shared import ShareSettings
from observe_r1.stages.evaluation import Plan, run_plan, run_shared_plan
from observe_r1.types import Completion, RolloutGroup

QUICK = ShareSettings(lease_seconds=60, poll_seconds=0.01)
NUM_QUESTIONS = 23


class DrawingEngine(ScriptedEngine):
    """Answers at random from the seed and the batch's number, as real engines do."""

    def generate(self, samples_P, *, group_size, sampling, system_prompt, seed, step=0):
        self.calls.append([sample.id for sample in samples_P])
        if self.stop_after is not None and len(self.calls) > self.stop_after:
            raise KeyboardInterrupt
        rng = random.Random(f"{seed}/{step}")
        return [
            RolloutGroup(
                sample=sample,
                completions_G=tuple(
                    Completion(text=rng.choice([RIGHT, WRONG])) for _ in range(group_size)
                ),
            )
            for sample in samples_P
        ]


def plan() -> Plan:
    settings = Evaluation(name="dots", batch_size=4)
    return Plan(model="m", data="dots", samples=2, greedy=True, settings=settings)


def predictions(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(out.glob("eval/*/predictions.jsonl"))]


def shared(out: Path, store: Path, engine: ScriptedEngine, **changes):
    questions = make_samples(changes.pop("questions", NUM_QUESTIONS))
    settings = QUICK.model_copy(update=changes)
    return run_shared_plan(plan(), engine, questions, out, str(store), settings)


def test_three_workers_write_the_folder_that_one_writes(tmp_path):
    run_plan(plan(), DrawingEngine({}), make_samples(NUM_QUESTIONS), tmp_path / "alone")
    engines = [DrawingEngine({}) for _ in range(3)]
    found = []

    def work(engine):
        found.append(shared(tmp_path / "together", tmp_path / "store", engine))

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert predictions(tmp_path / "together") == predictions(tmp_path / "alone")
    assert len(predictions(tmp_path / "together")) == 2
    assert {scores[0].accuracy.value for scores in found} == {found[0][0].accuracy.value}
    asked = [tuple(call) for engine in engines for call in engine.calls]
    assert len(asked) == 2 * 6  # six batches, sampled and greedy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "store", "together"]


def test_a_share_alone_writes_no_folder_and_says_what_is_missing(tmp_path):
    out, store = tmp_path / "out", tmp_path / "store"
    missing = shared(out, store, DrawingEngine({}), shard=1, num_shards=3)
    assert missing == 2 * 4
    assert not out.exists()
    assert [len(s.to_dict()) > 0 for s in shared(out, store, DrawingEngine({}))] == [True, True]


def test_refused_questions_are_left_out_of_what_workers_share(tmp_path):
    refusing = ScriptedEngine(
        {sample.id: [RIGHT] for sample in make_samples(NUM_QUESTIONS)},
        refuses=frozenset({"q1", "q20"}),
    )
    for scores in shared(tmp_path / "out", tmp_path / "store", refusing):
        assert (scores.num_questions, scores.num_missing) == (NUM_QUESTIONS - 2, 2)


def test_a_server_that_refuses_every_batch_ends_the_worker(tmp_path):
    script = {sample.id: [RIGHT] for sample in make_samples(NUM_QUESTIONS)}
    refusing = ScriptedEngine(script, refuses=frozenset(script))
    with pytest.raises(EngineError, match="refused every question"):
        shared(tmp_path / "out", tmp_path / "store", refusing)
    found = shared(tmp_path / "out", tmp_path / "store", ScriptedEngine(script))
    assert [scores.num_missing for scores in found] == [0, 0]


def test_an_interrupted_worker_is_continued_by_another(tmp_path):
    out, store = tmp_path / "out", tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        shared(out, store, DrawingEngine({}, stop_after=5))
    engine = DrawingEngine({})
    shared(out, store, engine)
    assert len(engine.calls) == 2 * 6 - 5


def test_another_evaluations_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    engine = DrawingEngine({})
    with pytest.raises(RunError, match="is not empty"):
        shared(tmp_path / "out", tmp_path / "store", engine)
    assert not engine.calls


def test_a_worker_with_other_questions_is_refused(tmp_path):
    shared(tmp_path / "out", tmp_path / "store", DrawingEngine({}))
    with pytest.raises(RunError, match="items is 23 there, 22 here"):
        shared(tmp_path / "other", tmp_path / "store", DrawingEngine({}), questions=22)
