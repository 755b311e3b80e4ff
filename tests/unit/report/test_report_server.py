"""The live viewer: what it answers, what it refuses, and that it follows a run while it grows."""

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from synthetic_run import Size, write_run

from observe_r1.errors import RunError
from observe_r1.report.index import NAME
from observe_r1.report.server import make_server


@contextmanager
def served(folder: Path) -> Iterator[int]:
    server = make_server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(port: int, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def get_json(port: int, path: str) -> dict:
    status, _, content = get(port, path)
    assert status == 200, content
    return json.loads(content)


def until_indexed(port: int, name: str) -> dict:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not get_json(port, f"/run/{name}/state")["text"]:
            return get_json(port, f"/run/{name}/payload")
        time.sleep(0.02)
    raise AssertionError("the index was not built")


@pytest.fixture(scope="module")
def port(good_run: Path) -> Iterator[int]:
    with served(good_run.parent) as found:
        yield found


def test_runs_in_one_folder_are_listed(port: int) -> None:
    (run,) = get_json(port, "/runs")["runs"]
    assert (run["name"], run["address"], run["state"]) == (
        "good",
        "/run/good/",
        "Finished: 24 steps.",
    )


def test_a_run_can_be_looked_at(port: int) -> None:
    data = until_indexed(port, "good")
    assert data["curves"] and data["ladder"]["heat"] and not data["single"]
    listed = get_json(port, "/run/good/groups?sort=oldest&limit=2")
    assert listed["total"] == 96
    group = get_json(port, f"/run/good/group?id={listed['groups'][0]['id']}")
    assert len(group["completions"]) == 6
    status, headers, content = get(
        port, f"/run/good/picture?key={group['question']['pictures'][0]}"
    )
    assert (status, headers["Content-Type"], content[8:12]) == (200, "image/webp", b"WEBP")
    same = get_json(port, f"/run/good/same?sample={quote(group['sample'])}")
    assert group["id"] in [one["id"] for one in same]


def test_pages_forbid_everything_that_is_not_ours(port: int) -> None:
    for path in ("/", "/run/good/", "/runs", "/assets/app.js", "/nothing"):
        _, headers, _ = get(port, path)
        rules = headers["Content-Security-Policy"]
        assert rules.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in rules
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/run/", "/run/other/", "/run/..%2f..%2fetc/", "/run/good/../../etc/passwd", "/assets/../page.html", "/assets/",
        "/run/good/picture?key=../../secret", "/run/good/picture?key=0.99", "/run/good/picture?key=%C2%B2.0", "/etc/passwd",
    ],
)  # fmt: skip
def test_what_does_not_exist_is_not_found(port: int, path: str) -> None:
    assert get(port, path)[0] == 404


def test_a_page_of_another_site_is_refused(port: int) -> None:
    assert get(port, "/runs", host="evil.example")[0] == 403
    assert get(port, "/runs", host=f"evil.example:{port}")[0] == 403
    assert get(port, "/runs", host=f"localhost:{port}")[0] == 200


def test_a_group_that_is_not_there_is_null(port: int) -> None:
    for wanted in ("-1", "96", "x", "%C2%B2", "9" * 400):
        assert get(port, f"/run/good/group?id={wanted}")[2] == b"null"


def test_an_address_that_cannot_be_read_is_refused(port: int) -> None:
    assert get(port, "/runs?" + "&".join(f"a{n}=1" for n in range(99)))[0] == 400


def test_a_growing_run_is_followed(own_run: Path) -> None:
    rollouts, metrics = (own_run / name for name in ("rollouts.jsonl", "metrics.jsonl"))
    rows, steps = (
        rollouts.read_text().splitlines(keepends=True),
        metrics.read_text().splitlines(keepends=True),
    )
    rollouts.write_text("".join(rows[:48]) + rows[48][:30])
    metrics.write_text("".join(steps[:4]) + '{"step": 5, "accu')
    with served(own_run) as port:
        before = until_indexed(port, "own")
        assert before["single"]
        assert before["curves"][0]["steps"] == [1, 2, 3, 4]
        assert get_json(port, "/run/own/groups")["total"] == 12
        assert get_json(port, "/run/own/state")["revision"] == before["revision"]
        with open(rollouts, "a") as file:
            file.write(rows[48][30:] + "".join(rows[49:]))
        metrics.write_text("".join(steps))
        after = until_indexed(port, "own")
        assert after["revision"] != before["revision"]
        assert after["curves"][0]["steps"][-1] == 10
        assert get_json(port, "/run/own/groups")["total"] == 30


def test_runs_that_come_later_are_shown(own_run: Path) -> None:
    with served(own_run) as port:
        before = until_indexed(port, "own")
        assert before["single"] and get(port, "/")[2].count(b"/run/own/") == 1
        write_run(own_run / "later", Size(steps=2, prompts=2, group_size=2, questions=18))
        state = get_json(port, "/run/own/state")
        assert not state["single"]  # what tells an open page to show the way to the others
        names = [run["name"] for run in get_json(port, "/runs")["runs"]]
        assert names == ["own", "later"]
        assert get(port, "/")[2].count(b"/run/own/") == 0  # the list now
        assert until_indexed(port, "later")["state"]["step"] == 2


def test_stages_that_begin_later_are_listed_and_the_open_page_goes_on(own_run: Path) -> None:
    parts = ("metrics.jsonl", "rollouts.jsonl", "samples.jsonl", "images")
    first = own_run / "1-warm_up"
    with served(own_run) as port:
        until_indexed(port, "own")
        first.mkdir()
        for part in parts:
            (own_run / part).rename(first / part)
        assert [run["address"] for run in get_json(port, "/runs")["runs"]] == ["/run/1-warm_up/"]
        assert get_json(port, "/run/own/state")["single"] is False
        assert until_indexed(port, "1-warm_up")["state"]["step"] == 10


def test_stages_of_a_run_among_others_are_listed_with_their_groups(own_run: Path) -> None:
    staged = own_run.parent / "staged"
    staged.mkdir()
    (own_run / "config.json").rename(staged / "config.json")
    own_run.rename(staged / "1-rl")
    with served(staged.parent) as port:
        assert [run["address"] for run in get_json(port, "/runs")["runs"]] == [
            "/run/staged%2F1-rl/"
        ]
        payload = until_indexed(port, "staged%2F1-rl")
        assert payload["beside"] + payload["stages"][0]["name"] == "staged/1-rl"
        assert get_json(port, "/run/staged%2F1-rl/groups")["total"] == 30


def test_the_first_index_is_shown_being_built_and_answers_meanwhile(tmp_path: Path) -> None:
    run = write_run(tmp_path / "large", Size(steps=2, prompts=2, group_size=2, questions=18))
    rows = 120_000
    with open(run / "rollouts.jsonl", "w", encoding="ascii") as file:
        for place in range(rows):
            step, group = divmod(place // 8, 50)
            file.write(
                f'{{"step":{step},"group":{group},"index":{place % 8},"sample_id":"shapes-0001",'
                f'"text":"{"word " * 8}","correct":{"true" if place % 3 else "false"},'
                '"num_tokens":40,"reward":1.0,"weight":1.0,"admitted":true}\n'
            )
    shown: list[str] = []
    totals: list[int] = []
    with served(run) as port:
        while text := get_json(port, "/run/large/state")["text"]:
            shown.append(text)
            totals.append(get_json(port, "/run/large/groups?limit=1")["total"])
        final = get_json(port, "/run/large/groups?limit=1")["total"]
    building = [
        re.match(r"Building the index of the rollouts, once: (\d+)% of \d\d MB", t) for t in shown
    ]
    shares = [int(found[1]) for found in building if found]
    assert shares and shares == sorted(shares) and shares[-1] <= 100
    assert final == rows // 8
    assert totals == sorted(totals) and totals[0] < final  # what has been read can be looked at
    with served(run) as port:  # and it is built once
        assert get_json(port, "/run/large/state")["text"] == ""
        assert get_json(port, "/run/large/groups?limit=1")["total"] == final


def test_the_index_is_kept_for_the_next_time(own_run: Path) -> None:
    with served(own_run) as port:
        until_indexed(port, "own")
    assert (own_run / NAME).is_file()


def test_a_run_that_vanishes_is_not_the_end_of_the_viewer(own_run: Path) -> None:
    import shutil

    with served(own_run.parent) as port:
        until_indexed(port, "own")
        shutil.rmtree(own_run)
        assert get(port, "/run/own/state")[0] == 404
        assert get_json(port, "/runs") == {"runs": []}


def test_a_hostile_run_can_be_viewed(hostile_run: Path) -> None:
    with served(hostile_run.parent) as port:
        (run,) = get_json(port, "/runs")["runs"]
        name = run["address"].split("/")[2]
        assert "<" not in run["address"]
        until_indexed(port, name)
        status, headers, content = get(port, f"/run/{name}/groups?text=window.pwned&limit=999")
        assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        assert b"<" not in content
        page = get(port, f"/run/{name}/")[2]
        assert b"<img" not in page


def test_the_folder_one_is_in_can_be_viewed(
    good_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(good_run)
    with served(Path(".")) as port:
        assert until_indexed(port, "good")["name"] == "good"


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no folder in it"):
        make_server(tmp_path)
    with pytest.raises(RunError, match="is not a folder"):
        make_server(tmp_path / "missing")


def test_a_taken_port_is_refused_with_what_to_do(port: int, good_run: Path) -> None:
    with pytest.raises(RunError, match="Give another one with --port"):
        make_server(good_run, port)
