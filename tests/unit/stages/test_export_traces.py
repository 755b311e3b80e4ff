"""``export traces``: the forms it writes, and which preference pairs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
from observe_r1.cli.main import call
from observe_r1.config.stages import DPOStage
from observe_r1.data.chats import read_chats
from observe_r1.data.traces import TraceRow, TraceSet, write_traces
from observe_r1.errors import DataError
from observe_r1.stages.dpo import make_pairs
from observe_r1.stages.export_traces import export_chats, pair_up

SAMPLES = {f"sample-{n}": fakes.sample(n, images=n % 2) for n in range(4)}


def side(*said: tuple[int, str], grammar: str = "think_answer") -> TraceSet:
    rows = [TraceRow(sample_id=f"sample-{n}", response=text, grammar=grammar) for n, text in said]
    return TraceSet(tuple(rows), SAMPLES)


CHOSEN = side((0, "a"), (1, "b"), (0, "c"), (2, "d"), (3, "e"))
REJECTED = side((1, "x"), (0, "a"), (0, "y"), (2, "z"))


def texts(pairs: object) -> list[tuple[str, str]]:
    return [(one.response, other.response) for one, other in pairs]  # type: ignore[attr-defined]


def test_pairs_are_those_that_a_preference_stage_learns_from() -> None:
    found = pair_up(CHOSEN, REJECTED)
    assert texts(found.pairs) == [("b", "x"), ("c", "y"), ("d", "z")]
    assert found.left_out == {"same_text": 1}
    stage = DPOStage.build({"pairs_per_question": 9}, "test")
    learnt = [(pair.chosen, pair.rejected) for pair in make_pairs(stage, CHOSEN, REJECTED)]
    assert sorted(texts(learnt)) == sorted(texts(found.pairs))


def test_sides_that_answer_other_prompts_are_left_out() -> None:
    other = [replace(row, grammar="answer") for row in REJECTED.rows[:1]]
    found = pair_up(CHOSEN, REJECTED.with_rows([*other, *REJECTED.rows[1:]]))
    assert texts(found.pairs) == [("c", "y"), ("d", "z")]
    assert found.left_out == {"same_text": 1, "other_prompt": 1}
    asked = [replace(row, system_prompt="Be brief.") for row in (*CHOSEN.rows, *other)]
    same = pair_up(CHOSEN.with_rows(asked[:-1]), REJECTED.with_rows(asked[-1:]))
    assert texts(same.pairs) == [("b", "x")], "one prompt of their own, whatever the grammars"


def test_what_was_cut_off_is_not_written_as_if_it_had_ended(tmp_path: Path) -> None:
    rows = [replace(row, truncated=n > 0) for n, row in enumerate(CHOSEN.rows)]
    write_traces(tmp_path / "traces", CHOSEN.with_rows(rows))
    result = export_chats(tmp_path / "traces", tmp_path / "out")
    assert (result["rows"], result["left_out"]) == (1, {"cut_off": 4})
    write_traces(tmp_path / "traces", CHOSEN.with_rows(rows[1:]))
    with pytest.raises(DataError, match="in all 4 the response was cut off"):
        export_chats(tmp_path / "traces", tmp_path / "other")


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        (side((0, "a")), "in 1 both sides are the same text"),
        (side((0, "x"), grammar="answer"), "in 1 the sides answer different prompts"),
        (side((2, "x")), "no question has traces on both sides"),
    ],
)
def test_without_any_pair_it_is_refused(rejected: TraceSet, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        pair_up(side((0, "a"), (1, "b")), rejected)


@pytest.mark.parametrize(
    ("form", "keys"),
    [
        ("sharegpt", {"id", "system", "conversations", "images", "observe_r1"}),
        ("messages", {"id", "messages", "images", "observe_r1"}),
    ],
)
def test_the_command_writes_either_form(form: str, keys: set[str], tmp_path: Path) -> None:
    write_traces(tmp_path / "traces", CHOSEN)
    command = ["export", "traces", str(tmp_path / "traces"), "--out", str(tmp_path / "out")]
    assert call([*command, "--form", form]) == 0
    chats = tmp_path / "out" / "chats.json"
    assert json.loads(chats.read_text())[0].keys() == keys
    back = read_chats(chats, "think_answer").rows
    assert [(row.sample_id, row.response) for row in back] == [
        (row.sample_id, row.response) for row in CHOSEN.rows
    ]


def test_the_command_says_how_many_pairs_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, traces in (("better", CHOSEN), ("worse", REJECTED), ("same", CHOSEN)):
        write_traces(tmp_path / name, traces)
    command = ["export", "traces", str(tmp_path / "better"), "--rejected"]
    out = ["--out", str(tmp_path / "out")]
    assert call([*command, str(tmp_path / "worse"), *out, "--form", "messages", "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out.splitlines()[-1])
    assert (result["rows"], result["left_out"]) == (3, {"same_text": 1})
    assert "left out 1: in 1 both sides are the same text" in said.out + said.err
    (row, *_) = json.loads((tmp_path / "out" / "chats.json").read_text())
    assert row.keys() == {"id", "prompt", "chosen", "rejected", "images", "observe_r1"}
    assert call([*command, str(tmp_path / "same"), "--out", str(tmp_path / "none")]) == 2
    assert "none of the 5 pairs prefers anything" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
