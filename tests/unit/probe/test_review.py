import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.data.ladder import build_ladder
from observe_r1.data.store import read_samples, write_samples
from observe_r1.errors import DataError
from observe_r1.probe import ProbeConfig, ProbeRow, ProbeStore
from observe_r1.probe.review import find_doubts, read_decisions, read_reviewed, write_review
from observe_r1.probe.store import question_hash
from observe_r1.types import Sample


def tagged(answer: str) -> str:
    return f"<observe>o</observe><think>t</think><answer>{answer}</answer>"


def make_folder(folder, answers: dict[str, list[str]], **changes) -> None:
    """Samples whose gold is 60.8, and what the probed model answered to each."""
    samples = [
        Sample(
            id=i, question="What is <b>the</b> perimeter?", answer="60.8", kind="number", **changes
        )
        for i in answers
    ]
    write_samples(folder, samples)
    with ProbeStore(folder / "probe", ProbeConfig().identity("m")) as store:
        for sample_id, given in answers.items():
            completions = tuple(
                ProbedCompletion(
                    text=tagged(a), answer=a, correct=a == "60.8", num_tokens=9, truncated=False
                )
                for a in given
            )
            store.append(
                [ProbeRow(stage="reasoned", sample_id=sample_id, round=0, completions=completions)]
            )


def decide(folder, *rows: dict) -> None:
    (folder / "decisions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_unanimous_disagreement_with_the_gold_comes_first(tmp_path):
    make_folder(tmp_path, {"scattered": list("12345678"), "unanimous": ["23.2"] * 8,
                           "mostly": ["23.2"] * 6 + ["1", "2"], "solved": ["60.8"] * 8})  # fmt: skip
    samples = read_samples(tmp_path)
    doubts = find_doubts(tmp_path / "probe", samples, level=8)
    assert [samples[d.index].id for d in doubts] == ["unanimous", "mostly", "scattered"]
    assert doubts[0].votes == (("23.2", 8),)


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href") and v]


def test_the_page_is_one_file_and_escapes_what_models_and_data_say(tmp_path):
    make_folder(tmp_path, {"a": ["<script>alert(1)</script>"] * 8}, images=(b"\x89PNG not real",))
    page = tmp_path / "review.html"
    assert write_review(tmp_path, read_samples(tmp_path), page) == 1
    parser = Texts()
    parser.feed(page.read_text())
    assert parser.tags.count("script") == 1 and "b" not in parser.tags
    assert all(link.startswith("data:") for link in parser.links)
    assert parser.tags.count("img") == 1


def test_rollouts_of_questions_that_have_changed_make_no_ladder_and_no_page(tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8, "b": ["60.8"] * 8})
    before = read_samples(tmp_path)
    rollouts = tmp_path / "probe" / "rollouts.jsonl"
    rows = [json.loads(line) for line in rollouts.read_text().splitlines()]
    hashed = [row | {"asked": question_hash(s)} for row, s in zip(rows, before, strict=True)]
    rollouts.write_text("".join(json.dumps(row) + "\n" for row in hashed))
    decide(tmp_path, {"id": "a", "decision": "fix", "answer": "1"})
    assert read_reviewed(tmp_path).difficulty["a"].num_correct == 8, "a review changes no question"
    write_samples(tmp_path, [replace(s, answer="1") for s in before], overwrite=True)
    with pytest.raises(DataError, match="2 of 2 probed questions, for example 'a'"):
        read_reviewed(tmp_path)
    with pytest.raises(DataError, match="1 of 2 probed questions, for example 'a'"):
        write_review(tmp_path, read_samples(tmp_path), tmp_path / "review.html")


def test_keep_and_drop_feed_back_into_the_ladder(tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8, "b": ["1"] * 8, "c": ["1"] * 8})
    decide(tmp_path, {"id": "a", "decision": "keep"}, {"id": "b", "decision": "drop"})
    reviewed = read_reviewed(tmp_path)
    ladder = build_ladder(reviewed.samples, reviewed.difficulty, decisions=reviewed.decisions)
    assert [s.id for s in ladder.samples(reviewed.samples)] == ["a"]
    assert ladder.table()["dropped in review"] == 1
    assert ladder.table()["held for review: never solved"] == 1


def test_a_fixed_gold_is_graded_anew_and_stored_in_the_ladder(tmp_path):
    make_folder(tmp_path, {"a": ["23.2"] * 6 + ["1"] * 2, "b": ["60.8"] * 4 + ["1"] * 4})
    decide(tmp_path, {"id": "a", "decision": "fix", "answer": "23.2"})
    reviewed = read_reviewed(tmp_path)
    assert reviewed.difficulty["a"].solve_rate == 0.75
    ladder = build_ladder(reviewed.samples, reviewed.difficulty, decisions=reviewed.decisions)
    answers = {s.id: s.answer for s in ladder.samples(reviewed.samples)}
    assert answers == {"a": "23.2", "b": "60.8"}


def test_the_last_decision_on_a_sample_counts(tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8})
    decide(tmp_path, {"id": "a", "decision": "fix", "answer": "1"}, {"id": "a", "decision": "drop"})
    reviewed = read_reviewed(tmp_path)
    assert reviewed.decisions == {"a": "drop"}
    assert reviewed.samples[0].answer == "60.8"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "decision": "maybe"}, "not keep, fix or drop"),
        ({"id": "a", "decision": "fix"}, "without the right answer"),
        ({"decision": "keep"}, "no decision"),
    ],
)
def test_a_decision_that_makes_no_sense_is_named_with_its_line(row, message, tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8})
    decide(tmp_path, row)
    with pytest.raises(DataError, match=f"line 1.*{message}"):
        read_reviewed(tmp_path)


def test_a_named_decisions_file_must_exist(tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8})
    with pytest.raises(DataError, match="does not exist"):
        read_reviewed(tmp_path, tmp_path / "no.jsonl")


def test_a_folder_without_a_probe_brings_its_own_levels(tmp_path):
    write_samples(tmp_path, [Sample(id="a", question="?", answer="1", kind="number", level=3,
                                    solve_rate=0.6, complexity=9.0)])  # fmt: skip
    reviewed = read_reviewed(tmp_path)
    assert reviewed.difficulty is None
    assert len(build_ladder(reviewed.samples, reviewed.difficulty)) == 1


def shown_ids(page) -> list[str]:
    return re.findall(r'<article data-id="([^"]+)"', page.read_text())


def test_decided_questions_come_last_and_their_decisions_are_on_the_page(tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8, "b": ["1"] * 8, "c": list("12345678")})
    decide(tmp_path, {"id": "a", "decision": "fix", "answer": "<1>"})
    page = tmp_path / "review.html"
    write_review(tmp_path, read_samples(tmp_path), page, limit=2)
    assert shown_ids(page) == ["b", "c"]
    assert "2 of 3 questions" in page.read_text()
    (found,) = re.findall(r"Object\.assign\((\{.*?\}), JSON", page.read_text())
    assert json.loads(found) == {"a": {"id": "a", "decision": "fix", "answer": "<1>"}}
    write_review(tmp_path, read_samples(tmp_path), page)
    assert shown_ids(page) == ["b", "c", "a"]


def test_pages_of_two_folders_of_one_name_remember_their_own_decisions(tmp_path):
    keys = set()
    for parent in ("one", "two"):
        folder = tmp_path / parent / "samples"
        make_folder(folder, {"a": ["1"] * 8})
        write_review(folder, read_samples(folder), folder / "review.html")
        keys |= set(re.findall(r"const key = (.*);", (folder / "review.html").read_text()))
    assert len(keys) == 2


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on the path")
def test_the_page_saves_what_is_decided_and_no_fix_without_its_answer(tmp_path):
    """A real browser clicks; what it downloads is what ``data ladder`` reads."""
    api = pytest.importorskip("playwright.sync_api")
    make_folder(tmp_path, {"a": ["1"] * 8, "b": ["1"] * 8})
    write_review(tmp_path, read_samples(tmp_path), tmp_path / "review.html")
    with api.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto((tmp_path / "review.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("article").nth(0).get_by_label("drop").check()
        page.locator("article").nth(1).get_by_label("fix").check()
        page.click("#save")
        assert "1 to fix without an answer" in page.locator("#count").inner_text()
        page.keyboard.type("61")  # the field is in focus
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "decisions.jsonl")
        browser.close()
    assert read_decisions(tmp_path / "decisions.jsonl", is_named=True) == (
        {"a": "drop", "b": "fix"}, {"b": "61"},
    )  # fmt: skip


def test_what_was_never_solved_is_shown_however_few_the_rollouts(tmp_path):
    make_folder(tmp_path, {"a": ["1", "2"], "b": ["1", "60.8"]})
    doubts = find_doubts(tmp_path / "probe", read_samples(tmp_path), level=8)
    assert [doubt.index for doubt in doubts] == [0]


def test_decisions_of_another_folder_are_refused(tmp_path):
    make_folder(tmp_path, {"a": ["1"] * 8})
    decide(tmp_path, {"id": "x", "decision": "keep"}, {"id": "y", "decision": "drop"})
    with pytest.raises(DataError, match=r"decides on 2 samples, none of which"):
        read_reviewed(tmp_path)
