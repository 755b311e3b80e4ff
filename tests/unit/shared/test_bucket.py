import os
import threading
from pathlib import Path

import pytest
from places import MemoryPlace, impatient

from observe_r1.errors import ConfigError, RunError
from observe_r1.shared.bucket import Bucket, open_bucket


@pytest.fixture(params=["folder", "fsspec"])
def bucket(request, tmp_path) -> Bucket:
    url = tmp_path / "shared" if request.param == "folder" else f"memory://{tmp_path}/shared"
    return open_bucket(str(url), tries=2, first_wait_seconds=0.0)


def test_the_first_writer_of_a_name_wins(bucket):
    assert bucket.put_new("claims/7", b"mine")
    assert not bucket.put_new("claims/7", b"yours")
    assert bucket.get("claims/7") == b"mine"
    assert bucket.names("claims") == ["7"]


def test_what_is_not_there_is_none_and_empty(bucket):
    assert bucket.get("claims/1") is None
    assert bucket.names("claims") == []
    bucket.discard("claims/1")


def test_the_last_put_is_read(bucket):
    bucket.put("workers/a", b"1")
    bucket.put("workers/a", b"2")
    assert bucket.get("workers/a") == b"2"
    bucket.check_exclusive()
    assert bucket.names("checks") == []


def test_of_many_threads_exactly_one_creates_a_name(tmp_path):
    bucket = open_bucket(str(tmp_path))
    start, won = threading.Barrier(8), []

    def race(number):
        start.wait()
        if bucket.put_new("claims/1", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(n).encode() for n in won] == [bucket.get("claims/1")]
    assert os.listdir(tmp_path / "claims") == ["1"]


def test_a_short_trouble_is_waited_for():
    place = MemoryPlace([TimeoutError("slow"), ConnectionResetError("gone")])
    assert impatient(place).put_new("a", b"1")
    assert place.calls == 3


def test_a_write_that_arrived_although_its_answer_was_lost_counts_as_ours():
    class Lossy(MemoryPlace):
        def create(self, name, data):
            super().create(name, data)
            if self.calls == 1:
                raise ConnectionResetError("the answer was lost")

    assert impatient(Lossy()).put_new("a", b"mine")


def test_a_place_that_refuses_every_write_is_named_with_the_reason():
    place = MemoryPlace([PermissionError("Access Denied")] * 99)
    with pytest.raises(RunError, match=r"test://place refused writing a 4 times.*Access Denied"):
        impatient(place).put("a", b"1")
    assert place.calls == 4


def test_a_place_where_the_second_writer_wins_is_refused():
    with pytest.raises(RunError, match="lets a second writer replace"):
        impatient(MemoryPlace(exclusive=False)).check_exclusive()


@pytest.mark.parametrize("url", ["nowhere://bucket/x", "http-but-wrong://x"])
def test_an_unknown_kind_of_address_is_refused(url):
    with pytest.raises(ConfigError, match="no place that can be shared"):
        open_bucket(url)


def test_a_missing_package_is_named():
    pytest.importorskip("fsspec")
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match="pip install s3fs"):
            open_bucket("s3://bucket/x")


def test_a_folder_is_given_by_path_or_address(tmp_path: Path):
    open_bucket(f"file://{tmp_path}/x").put("a", b"1")
    assert (tmp_path / "x" / "a").read_bytes() == b"1"
