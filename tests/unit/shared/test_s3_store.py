"""Against a real S3 server on 127.0.0.1. Needs what the package itself does not:

$ pip install s3fs 'moto[server]'
"""

import threading

import pytest

pytest.importorskip("s3fs", reason="pip install s3fs 'moto[server]'")
pytest.importorskip("moto.server", reason="pip install s3fs 'moto[server]'")

from test_shared_work import QUICK, do_all, items_of

from observe_r1.errors import RunError
from observe_r1.shared import SharedWork, ShareSettings, open_bucket

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of many packages


@pytest.fixture(scope="module")
def s3():
    import s3fs
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem().mkdir("probes")
        yield "s3://probes"
        server.stop()


def make(url, tmp_path, **settings):
    return SharedWork(
        open_bucket(url, tries=3, first_wait_seconds=0.01), identity={}, num_items=20, target="1",
        spool=tmp_path / "unsent", settings=ShareSettings(**(QUICK | settings)),
    )  # fmt: skip


def test_the_first_writer_of_a_name_wins(s3):
    bucket = open_bucket(f"{s3}/names")
    bucket.check_exclusive()
    assert bucket.put_new("claims/1", b"mine")
    assert not bucket.put_new("claims/1", b"yours")
    bucket.put("workers/a", b"1")
    bucket.put("workers/a", b"2")
    assert (bucket.get("claims/1"), bucket.get("workers/a")) == (b"mine", b"2")
    assert (bucket.names("claims"), bucket.names("nothing"), bucket.get("no")) == (["1"], [], None)


def test_three_workers_do_every_item_once(s3, tmp_path):
    summaries = []

    def one():
        summaries.append(make(f"{s3}/work", tmp_path).run(do_all))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(s.blocks for s in summaries) == 7
    assert {s.missing for s in summaries} == {0}
    assert items_of(make(f"{s3}/work", tmp_path)) == list(range(20))


def test_a_bucket_that_does_not_exist_stops_before_any_work(s3, tmp_path):
    with pytest.raises(RunError, match=r"refused writing .* 3 times"):
        make("s3://no-such-bucket/work", tmp_path).run(do_all)
