"""Filters, orders and text search of the live viewer, against a plain reading of all rows."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from observe_r1.report.index import open_index
from observe_r1.report.run import open_run
from observe_r1.report.search import Searchable, list_groups, search
from observe_r1.report.select import PageLimits, choose_groups


@pytest.fixture(scope="module")
def opened(good_run: Path) -> Searchable:
    run = open_run(good_run)
    return Searchable.of(run, open_index(run.rollouts))


def plain(folder: Path) -> list[list[dict]]:
    groups = defaultdict(list)
    for line in (folder / "rollouts.jsonl").read_text().splitlines():
        row = json.loads(line)
        groups[row["step"], row["group"]].append(row)
    return list(groups.values())


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, lambda g: True),
        ({"from": "5", "to": "7"}, lambda g: 5 <= g[0]["step"] <= 7),
        ({"outcome": "right"}, lambda g: all(r["correct"] for r in g)),
        ({"outcome": "wrong"}, lambda g: not any(r["correct"] for r in g)),
        ({"outcome": "mixed"}, lambda g: 0 < sum(r["correct"] for r in g) < len(g)),
        ({"mark": "truncated"}, lambda g: any(r["truncated"] for r in g)),
        ({"mark": "bonus"}, lambda g: any(r["bonus"] > 0 for r in g)),
        ({"mark": "rejected"}, lambda g: False),
        ({"text": "LET me CHECK"}, lambda g: any("let me check" in r["text"].lower() for r in g)),
        ({"text": "sample_id"}, lambda g: False),
        ({"from": "x", "rung": "y", "offset": "z"}, lambda g: True),
    ],
)
def test_a_filter_finds_what_a_plain_reading_finds(opened, good_run: Path, wanted, fits) -> None:
    found = search(opened, wanted, seconds=60)
    wanted_places = {place for place, group in enumerate(plain(good_run)) if fits(group)}
    assert set(found.places.tolist()) == wanted_places


def test_rung_and_family_come_from_the_questions(opened) -> None:
    found = search(opened, {"rung": "2", "family": "counting"})
    names = {
        opened.index.sample_ids[opened.index.groups["sample"][place]] for place in found.places
    }
    assert names
    assert all(
        opened.run.questions[n].rung == 2 and opened.run.questions[n].family == "counting"
        for n in names
    )


def test_orders(opened) -> None:

    def column(sort: str, name: str) -> list[float]:
        return opened.index.groups[name][search(opened, {"sort": sort}).places].tolist()

    assert column("newest", "step") == sorted(column("newest", "step"), reverse=True)
    assert column("oldest", "step") == sorted(column("newest", "step"))
    assert column("longest", "tokens") == sorted(column("longest", "tokens"), reverse=True)
    assert column("weight", "weight") == sorted(column("weight", "weight"), reverse=True)


def test_a_search_out_of_time_goes_on_where_it_stopped(opened) -> None:
    wanted = {"text": "let me check"}
    whole = search(opened, wanted, seconds=60).places.tolist()
    pieces, cursor = [], 0
    while cursor is not None:
        found = search(opened, {**wanted, "cursor": str(cursor)}, seconds=0)
        assert found.read == 1
        pieces += found.places.tolist()
        cursor = found.next
    assert pieces == whole


def test_a_page_of_the_list_holds_the_questions(opened) -> None:
    answer = list_groups(opened, {"limit": "3", "offset": "2"})
    assert answer["total"] == 96
    assert len(answer["groups"]) == 3
    assert answer["groups"][0]["question"]["text"].startswith("<image>")


def test_a_page_takes_all_groups_when_they_fit(opened) -> None:
    index = opened.index
    assert choose_groups(index, PageLimits()).tolist() == list(range(96))


def test_a_small_page_follows_some_questions_and_spreads_the_rest(opened) -> None:
    index = opened.index
    chosen = choose_groups(index, PageLimits(groups=40, followed=3))
    assert len(chosen) <= 40
    samples = index.groups["sample"]
    counts = np.bincount(samples)
    often = int(np.argmax(counts))
    assert set(np.flatnonzero(samples == often)) <= set(chosen.tolist())
    steps = index.groups["step"][chosen]
    assert steps.min() <= 2 and steps.max() >= 23


def test_a_page_keeps_to_its_bytes(opened) -> None:
    index = opened.index
    chosen = choose_groups(index, PageLimits(group_bytes=40_000))
    assert 0 < int(index.groups["length"][chosen].sum()) <= 40_000
