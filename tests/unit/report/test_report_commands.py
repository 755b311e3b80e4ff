"""The commands: what they print, their JSON, and one message with status 2 for what is no run."""

import json
from pathlib import Path

import pytest

from observe_r1.cli.main import call


def last_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_report_writes_the_page_into_the_run(
    own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["report", str(own_run), "--json"]) == 0
    result = last_json(capsys)
    assert result["report"] == str(own_run / "report.html")
    assert result["bytes"] == (own_run / "report.html").stat().st_size


def test_report_writes_where_it_is_told(own_run: Path, tmp_path: Path) -> None:
    assert call(["report", str(own_run), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (
        (tmp_path / "new" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    )


def test_compare_prints_a_table_and_writes_a_page(
    good_run: Path, own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "compare.html"
    assert call(["compare", str(good_run), str(own_run), "--out", str(page), "--json"]) == 0
    result = last_json(capsys)
    assert [run["letter"] for run in result["runs"]] == ["A", "B"]
    assert {"on", "value", "low", "high", "won", "lost"} <= result["differences"][0].keys()
    assert page.is_file()


def test_the_table_of_a_comparison_fits_eighty_columns(
    good_run: Path,
    own_run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from observe_r1.cli import console

    monkeypatch.setattr(console.out, "_width", 80)
    monkeypatch.setenv("COLUMNS", "80")
    assert call(["compare", str(good_run), str(own_run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = [place for place, line in enumerate(lines) if line.startswith("measured on")]
    names = [line[:22].strip() for line in lines[head + 1 :]]
    assert names == ["eval before", "eval after", "last fifth of training"]  # one line each
    assert max(map(len, lines[head:])) <= 80


def test_view_draws_in_the_terminal(good_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["view", str(good_run), "--terminal", "--once", "--json"]) == 0
    printed = capsys.readouterr().out
    assert "Latest group: step 24" in printed
    assert json.loads(printed.splitlines()[-1])["word"] == "finished"


def test_the_terminal_shows_the_groups_of_the_last_stage(
    own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staged = own_run.parent / "staged"
    staged.mkdir()
    (own_run / "config.json").rename(staged / "config.json")
    own_run.rename(staged / "1-rl")
    assert call(["view", str(staged), "--terminal", "--once"]) == 0
    assert "Latest group: step 10" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["report"], ["view"], ["view", "--terminal"], ["compare", "."]])
def test_a_folder_that_is_no_run_is_one_message(
    tmp_path: Path, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([*verb, str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("observe-r1: ")
    assert "is not a run" in captured.err
    assert "Traceback" not in captured.err


def test_the_first_index_of_a_large_run_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from observe_r1.cli import console
    from observe_r1.cli.report import _progress

    monkeypatch.setattr(console.err, "_force_terminal", True)
    tell, size = _progress(), 1_000_000_000
    for done in range(0, size + 1, 10_000_000):
        tell(done, size)
    said = capsys.readouterr().err.splitlines()
    assert 10 < len(said) < 20
    assert all(line.startswith("building the index of the rollouts, once: ") for line in said)
    _progress()(50_000_000, 90_000_000)  # a small run is silent
    assert capsys.readouterr().err == ""
