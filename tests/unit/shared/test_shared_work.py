import json
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from places import MemoryPlace, impatient

from observe_r1.errors import ConfigError, EngineError, RunError
from observe_r1.shared import BlockRows, SharedWork, ShareSettings, open_bucket
from observe_r1.shared.claims import CLAIMS, ENDED, WORKERS, Claims, Silences

QUICK = {"block_size": 3, "lease_seconds": 60.0, "poll_seconds": 0.001}


def make(place, tmp_path: Path, *, items: int = 10, target: str = "8", **settings) -> SharedWork:
    return SharedWork(
        impatient(place), identity={"model": "m"}, num_items=items, target=target,
        spool=tmp_path / "unsent", settings=ShareSettings(**(QUICK | settings)),
    )  # fmt: skip


def do_all(block, rows: BlockRows):
    done = {row["item"] for row in rows.before}
    for item in range(block.start, block.stop):
        if item not in done:
            rows.add([{"item": item}])
    return []


def items_of(work: SharedWork) -> list[int]:
    return [row["item"] for _, rows in work.results() for row in rows]


def test_one_worker_does_everything_once(tmp_path):
    work = make(MemoryPlace(), tmp_path)
    summary = work.run(do_all)
    assert (summary.blocks, summary.rows, summary.missing) == (4, 10, 0)
    assert items_of(work) == list(range(10))


def test_a_second_run_does_nothing(tmp_path):
    place = MemoryPlace()
    make(place, tmp_path).run(do_all)
    again = make(place, tmp_path)
    assert again.run(do_all).blocks == 0
    assert items_of(again) == list(range(10))


@pytest.mark.parametrize("lanes", [1, 3])
def test_many_workers_at_once_do_every_item_exactly_once(tmp_path, lanes):
    place, summaries = MemoryPlace(), []
    lock = threading.Lock()
    create = place.create

    def locked_create(name, data):  # as a real store: of two at once, one
        with lock:
            create(name, data)

    place.create = locked_create

    def one():
        summaries.append(make(place, tmp_path, items=100, lanes=lanes).run(do_all))

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(s.blocks for s in summaries) == 34
    assert sum(s.late for s in summaries) == 0
    assert items_of(make(place, tmp_path, items=100)) == list(range(100))


def test_unequal_shares_leave_nothing_out_and_do_nothing_twice(tmp_path):
    place = MemoryPlace()
    for shard, of in ((1, 2), (1, 3), (2, 3), (2, 2), (3, 3)):
        make(place, tmp_path, items=50, shard=shard, num_shards=of).run(do_all)
    work = make(place, tmp_path, items=50)
    assert work.run(do_all).blocks == 0
    assert items_of(work) == list(range(50))


def test_a_worker_keeps_to_its_share(tmp_path):
    work = make(MemoryPlace(), tmp_path, items=12, shard=2, num_shards=4)
    summary = work.run(do_all)
    assert (summary.blocks, summary.missing) == (1, 3)
    assert items_of(work) == [3, 4, 5]


def test_a_share_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="shard 5/4 does not exist"):
        make(MemoryPlace(), tmp_path, shard=5, num_shards=4).run(do_all)


def test_a_worker_that_fails_puts_aside_what_it_has_and_the_next_goes_on_from_it(tmp_path):
    place = MemoryPlace()

    def fails(block, rows):
        rows.add([{"item": block.start}])
        raise EngineError("the server is gone.")

    with pytest.raises(EngineError):
        make(place, tmp_path).run(fails)
    (aside,) = [name for name in place.objects if name.startswith("partial/")]
    asked = Counter()

    def counts(block, rows):
        done = {row["item"] for row in rows.before}
        left = [i for i in range(block.start, block.stop) if i not in done]
        asked.update(left)
        rows.add([{"item": item} for item in left])
        return []

    work = make(place, tmp_path)
    assert work.run(counts).missing == 0
    assert sum(asked.values()) == 9
    assert sorted(items_of(work)) == list(range(10))
    assert aside not in place.objects


def test_when_one_lane_fails_the_others_stop_and_keep_their_rows(tmp_path):
    place = MemoryPlace()
    both = threading.Barrier(2)
    failed = threading.Event()

    def do(block, rows):
        rows.add([{"item": block.start}])
        both.wait(20)
        if block.start == 0:
            failed.set()
            raise EngineError("the server is gone.")
        failed.wait(20)
        for item in range(10_000):  # ends when the worker is told to
            rows.add([{"item": item}])
            time.sleep(0.001)
        return []

    with pytest.raises(EngineError, match="the server is gone"):
        make(place, tmp_path, items=6, lanes=2).run(do)
    assert len([name for name in place.objects if name.startswith("partial/")]) == 2
    assert not [name for name in place.objects if name.startswith("parts/")]


def test_ctrl_c_keeps_the_rows_of_the_open_block(tmp_path):
    place = MemoryPlace()

    def interrupted(block, rows):
        rows.add([{"item": block.start}])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(place, tmp_path).run(interrupted)
    work = make(place, tmp_path)
    assert work.run(do_all).rows == 9
    assert sorted(items_of(work)) == list(range(10))


def test_a_killed_workers_blocks_are_taken_over_after_the_lease(tmp_path):
    place = MemoryPlace()
    place.objects[f"{CLAIMS}/000001-8.0"] = b"dead-worker"
    place.objects[f"{WORKERS}/dead-worker"] = b"17"  # never changes again
    work = make(place, tmp_path, lease_seconds=0.05)
    assert work.run(do_all).missing == 0
    assert place.objects[f"{CLAIMS}/000001-8.1"] == work.worker.encode()


def test_a_workers_blocks_are_free_at_once_when_it_has_ended_or_never_lived(tmp_path):
    place = MemoryPlace()
    place.objects[f"{CLAIMS}/000001-8.0"] = b"ended-worker"
    place.objects[f"{WORKERS}/ended-worker"] = ENDED
    place.objects[f"{CLAIMS}/000002-8.0"] = b"nobody"
    assert make(place, tmp_path).run(do_all).missing == 0


def test_a_straggler_is_overtaken_and_its_late_rows_are_dropped(tmp_path):
    place = MemoryPlace()
    begun, overtaken = threading.Event(), threading.Event()
    summaries = {}

    def slow(block, rows):
        begun.set()
        overtaken.wait(20)
        rows.add([{"item": i, "by": "slow"} for i in range(block.start, block.stop)])
        return []

    def run_slow():
        work = make(place, tmp_path, items=3, lease_seconds=0.2)
        summaries["slow"] = work.run(slow)

    thread = threading.Thread(target=run_slow)
    thread.start()
    begun.wait(20)
    fast = make(place, tmp_path, items=3, lease_seconds=0.2)
    summaries["fast"] = fast.run(do_all)
    overtaken.set()
    thread.join()
    assert (summaries["fast"].blocks, summaries["slow"].blocks, summaries["slow"].late) == (1, 0, 1)
    assert [row for _, rows in fast.results() for row in rows] == [{"item": i} for i in range(3)]


def test_items_that_fail_are_named_left_to_others_and_tried_again(tmp_path):
    place = MemoryPlace()

    def one_fails(block, rows):
        wanted = [i for i in range(block.start, block.stop) if i != 4]
        rows.add([{"item": i} for i in wanted])
        return ["4"] if block.start <= 4 < block.stop else []

    summary = make(place, tmp_path).run(one_fails)
    assert (summary.failed, summary.missing) == (["4"], 1)
    work = make(place, tmp_path)
    assert work.run(do_all).missing == 0
    assert sorted(items_of(work)) == list(range(10))


def test_a_store_that_stops_taking_writes_ends_the_work_and_loses_nothing(tmp_path):
    place = MemoryPlace()
    write, create = place.write, place.create

    def refused(name, data):
        if name.startswith(("parts/", "partial/")):
            raise PermissionError("Access Denied")
        create(name, data)

    place.create = refused
    with pytest.raises(RunError, match=r"refused writing parts/.* 4 times.*Access Denied"):
        make(place, tmp_path, items=9).run(do_all)
    (kept,) = (tmp_path / "unsent").iterdir()
    place.create, place.write = create, write
    asked = []

    def notes(block, rows):
        asked.extend(set(range(block.start, block.stop)) - {r["item"] for r in rows.before})
        return do_all(block, rows)

    work = make(place, tmp_path, items=9)
    assert work.run(notes).missing == 0
    assert len(asked) == 6
    assert sorted(items_of(work)) == list(range(9))
    assert not kept.exists()


def test_a_higher_target_starts_from_the_rows_of_the_lower_one(tmp_path):
    place = MemoryPlace()
    make(place, tmp_path, target="0008").run(do_all)
    seen = []

    def more(block, rows):
        seen.extend(row["item"] for row in rows.before)
        rows.add([{"item": 100 + i} for i in range(block.start, block.stop)])
        return []

    work = make(place, tmp_path, target="0016")
    work.run(more)
    assert sorted(seen) == list(range(10))
    assert sorted(items_of(work)) == [*range(10), *range(100, 110)]


def test_other_settings_data_or_versions_are_refused_with_what_differs(tmp_path):
    place = MemoryPlace()
    make(place, tmp_path)
    with pytest.raises(RunError, match="items is 10 there, 11 here"):
        make(place, tmp_path, items=11)
    stored = json.loads(place.objects["store.json"])
    place.objects["store.json"] = json.dumps(stored | {"observe_r1": "0.0.1"}).encode()
    with pytest.raises(RunError, match=r"observe_r1 is '0.0.1' there.*version of observe-r1"):
        make(place, tmp_path)


def test_the_first_workers_block_size_holds_for_all(tmp_path):
    place = MemoryPlace()
    make(place, tmp_path, block_size=4)
    assert make(place, tmp_path, block_size=7).settings.block_size == 4


def test_silence_is_counted_from_what_this_process_saw():
    clock = [0.0]
    silences = Silences(lambda: clock[0])
    assert silences.seconds("a", b"1") == 0.0
    clock[0] = 5.0
    assert silences.seconds("a", b"1") == 5.0
    assert silences.seconds("a", b"2") == 0.0


def test_a_living_workers_block_is_left_to_it(tmp_path):
    place = MemoryPlace()
    place.objects[f"{CLAIMS}/b.0"] = b"other"
    place.objects[f"{WORKERS}/other"] = b"1"
    claims = Claims(impatient(place), "me", ["a", "b"], lease_seconds=60)
    assert claims.take(set) == "a"
    assert claims.take(set) is None
    assert claims.others_hold_some
    place.objects[f"{WORKERS}/other"] = ENDED
    assert claims.take(set) == "b"


def test_a_real_folder_serves_as_the_store(tmp_path):
    bucket = open_bucket(str(tmp_path / "store"))
    work = SharedWork(
        bucket, identity={}, num_items=7, target="1", spool=tmp_path / "unsent",
        settings=ShareSettings(**QUICK),
    )  # fmt: skip
    work.run(do_all)
    assert items_of(work) == list(range(7))
    assert not list((tmp_path / "store").rglob(".*"))
