"""The self-contained page: what it holds, and that nothing in it can run but our own script."""

import html
import json
import re
from pathlib import Path

import pytest

from observe_r1.report import pages
from observe_r1.report.images import find_picture, shrink
from observe_r1.report.index import open_index
from observe_r1.report.pages import embedded_json, render, write_report
from observe_r1.report.payload import build_groups, build_payload, to_json
from observe_r1.report.run import open_run
from observe_r1.report.select import PageLimits
from observe_r1.report.terminal import safe

MANY = PageLimits(text=8000)


@pytest.fixture(scope="module")
def good_page(good_run: Path) -> str:
    return write_report(good_run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile_page(hostile_run: Path) -> str:
    return write_report(hostile_run).read_text(encoding="utf-8")


def test_the_page_is_one_file_that_asks_for_nothing(good_page: str) -> None:
    outside_data = re.sub(r"<script[^>]*>.*?</script>", "", good_page, flags=re.DOTALL)
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", outside_data)
    head = html.unescape(good_page[: good_page.index("<style>")])
    assert "default-src 'none'" in head
    assert "connect-src 'none'" in head
    assert "unsafe" not in head


def test_the_page_is_small(good_run: Path, good_page: str) -> None:
    assert len(good_page) < 3_000_000


def test_every_section_of_the_run_is_in_the_page(good_page: str) -> None:
    data = embedded_json(good_page, "data-payload")
    assert data["kind"] == "report"
    assert {panel["id"] for panel in data["curves"]} >= {
        "accuracy",
        "rewards",
        "signal",
        "length",
        "entropy",
        "seconds",
        "tokens",
    }
    assert data["overview"]["deviations"]
    assert data["ladder"]["heat"]["rungs"]
    assert data["table"]["changes"]
    assert data["findings"]


def test_the_header_begins_with_what_held_out_questions_say(good_page: str) -> None:
    data = embedded_json(good_page, "data-payload")
    (row,) = [tile for tile in data["key"] if "to" in tile]
    assert data["key"][0] is row
    rates = {one["name"]: one["accuracy"]["value"] for one in data["table"]["rows"]}
    assert (row["from"], row["to"]) == pytest.approx((rates["before"], rates["after"]))
    assert row["value"] == pytest.approx(row["to"] - row["from"])
    assert row["low"] < row["value"] < row["high"]


def test_pictures_are_stored_once(good_run: Path) -> None:
    run = open_run(good_run)
    groups = build_groups(run, open_index(run.rollouts), MANY)
    asked = {group["sample"] for group in groups["groups"]}
    assert len(groups["groups"]) == 96
    assert 0 < len(groups["pictures"]) <= len(asked)


def test_left_out_groups_and_pictures_are_said(good_run: Path) -> None:
    run = open_run(good_run)
    index = open_index(run.rollouts)
    assert build_groups(run, index, MANY)["note"] == ""
    note = build_groups(run, index, PageLimits(groups=30, picture_bytes=900))["note"]
    assert "of 96 groups" in note
    assert "pictures were left out" in note


def test_the_same_run_gives_the_same_groups(good_run: Path) -> None:
    run = open_run(good_run)
    index = open_index(run.rollouts)
    assert to_json(build_groups(run, index, MANY)) == to_json(build_groups(run, index, MANY))


def test_no_text_can_leave_its_data_block(hostile_page: str) -> None:
    # Everything between our own tags: the shell, five scripts, nothing more.
    assert (
        len(
            re.findall(
                r"<script\b",
                re.sub(r"(?s)<script>\(\(\) =>.*?</script>", "<script></script>", hostile_page),
            )
        )
        == 4
    )
    assert "<img src=x" not in hostile_page
    assert "<svg onload" not in hostile_page
    assert "<title>&lt;img src=x onerror=alert(1)&gt;&amp;amp; · observe-r1</title>" in hostile_page
    embedded_json(hostile_page, "data-payload")


def test_a_hostile_run_is_shown_with_what_is_wrong(hostile_run: Path) -> None:
    run = open_run(hostile_run)
    index = open_index(run.rollouts)
    payload = json.loads(to_json(build_payload(run, index)))
    assert any("format 99" in problem for problem in payload["problems"])
    assert any("3 damaged lines of rollouts.jsonl" in problem for problem in payload["problems"])
    groups = json.loads(to_json(build_groups(run, index, PageLimits())))
    first = groups["groups"][0]["completions"]
    assert [c["reward"] for c in first] == [-1.5, None, None, None]
    assert first[0]["left_out"] > 900_000
    assert groups["pictures"] == {}
    assert "cannot be read" in groups["note"]
    assert "broken \ufffd\ufffd utf-8" in groups["groups"][-1]["completions"][0]["text"]


def test_json_in_the_page_is_ascii_and_holds_no_markup() -> None:
    value = {"a": "</script><!--\u2028\u2029\ud800&", "b": float("nan"), "c": [float("inf"), -1]}
    text = to_json(value)
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script><!--\u2028\u2029\ud800&", "b": None, "c": [None, -1]}


def test_no_script_of_ours_parses_markup_or_code() -> None:
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
    ):
        assert forbidden not in pages.script()
    assert "</script" not in pages.script()
    assert "</script" not in pages.plotly()
    assert "</style" not in pages.style()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "images/link.png",
        "/etc/hostname",
        "images",
        "a\0b",
        "x" * 5000,
        "",
        "images/../../secret.png",
    ],
)
def test_no_picture_outside_the_run_is_found(hostile_run: Path, name: str) -> None:
    assert find_picture(hostile_run, name) is None


@pytest.mark.parametrize("name", ["images/drawing.svg", "images/no-picture.png"])
def test_what_is_no_picture_is_not_shown(hostile_run: Path, name: str) -> None:
    path = find_picture(hostile_run, name)
    assert path is not None
    assert shrink(path, 320) is None


def test_a_gigantic_picture_is_not_decoded(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("1", (9_000, 9_000)).save(tmp_path / "bomb.png")
    assert shrink(tmp_path / "bomb.png", 320) is None


def test_pictures_are_shrunk_and_keep_their_shape(good_run: Path) -> None:
    import io

    from PIL import Image

    path = next((good_run / "images").iterdir())
    with Image.open(io.BytesIO(shrink(path, 140) or b"")) as small:
        assert (small.format, small.size) == ("WEBP", (140, 98))


def test_a_page_without_scripts_says_the_findings(good_page: str) -> None:
    start = good_page.index("<noscript>")
    assert "Finished: 24 steps." in good_page[start : good_page.index("</noscript>")]


def test_a_template_cannot_be_reached_from_a_name() -> None:
    page = render("{{ 7 * 7 }}<b>", "report", {"name": "{% raw %}"}, None)
    assert "<title>{{ 7 * 7 }}&lt;b&gt; · observe-r1</title>" in page


def test_text_for_terminals_has_no_control_characters() -> None:
    assert safe("a\x1b[2Jb\x07\u202ec\td\ne") == "a\ufffd[2Jb\ufffd\ufffdc\td\ne"
