"""Rows that were being written when a process died or the disk was full."""

from pathlib import Path

import pytest

from observe_r1.data.traces import keep_samples
from observe_r1.records import append_rows, read_rows
from observe_r1.types import Sample


@pytest.mark.parametrize("torn", ['{"n": 2, "text": "ha', "{" + "x" * 200_000])
def test_a_torn_line_costs_itself_and_nothing_that_is_appended(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "rows.jsonl"
    append_rows(path, [{"n": 1}])
    with open(path, "a") as file:
        file.write(torn)
    append_rows(path, [{"n": 3}])
    append_rows(path, [{"n": 4}])
    assert list(read_rows(path)) == [{"n": 1}, {"n": 3}, {"n": 4}]


def test_a_file_of_nothing_but_a_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1')
    append_rows(path, [{"n": 2}])
    assert list(read_rows(path)) == [{"n": 2}]


def test_questions_that_a_full_disk_cut_short_are_kept_by_the_next_run(tmp_path: Path) -> None:
    samples = [Sample(id=f"q{n}", question="?", answer="1", kind="number") for n in range(3)]
    keep_samples(tmp_path, samples[:2])
    path = tmp_path / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    keep_samples(tmp_path, samples)
    assert [row["sample_id"] for row in read_rows(path)] == ["q0", "q1", "q2"]
