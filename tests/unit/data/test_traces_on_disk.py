"""Traces on disk, and the files of chats that other trainers read and write."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fakes
from observe_r1.data.chats import read_chats, write_chats
from observe_r1.data.traces import TraceRow, TraceSet, join, read_traces, write_traces
from observe_r1.errors import DataError
from observe_r1.types import Sample

COUNT = fakes.sample(1, images=2, question="How many?")
PLACED = replace(fakes.sample(2, question="<image> or <image>?", images=2), answer="2")
CHOICE = Sample(
    id="c", question="Which?", answer="B", kind="choice", options=("red", "blue"), family="colour"
)
SAMPLES = {sample.id: sample for sample in (COUNT, PLACED, CHOICE)}


def row(sample: Sample, **known: Any) -> TraceRow:
    text = f"<think>so</think><answer>{sample.answer}</answer>"
    return TraceRow(sample_id=sample.id, response=text, grammar="think_answer", **known)


TRACES = TraceSet(
    (
        row(COUNT, origin="solver", stage="teach", transforms=("caption",), correct=True,
            num_tokens=7, perplexity=1.5, solve_rate=0.25, caption="dots"),
        row(PLACED, correct=True),
        row(CHOICE, system_prompt="", truncated=True),
    ),
    SAMPLES,
)  # fmt: skip


def test_traces_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_traces(tmp_path, TRACES)
    found = read_traces(tmp_path)
    assert found.rows == TRACES.rows
    for sample in SAMPLES.values():
        back = found.samples[sample.id]
        assert (back.question, back.answer, back.kind, back.options, back.images) == (
            sample.question, sample.answer, sample.kind, sample.options, sample.images,
        )  # fmt: skip
    assert len(list((tmp_path / "images").iterdir())) == 4


def test_what_later_stages_may_read_of_a_question_is_kept(tmp_path: Path) -> None:
    known = replace(COUNT, solve_rate=0.0, metadata={"objects": ["dot"]})
    write_traces(tmp_path, TraceSet((row(known), row(PLACED)), {s.id: s for s in (known, PLACED)}))
    found = read_traces(tmp_path)
    first, second = (found.sample(one) for one in found.rows)
    assert (first.solve_rate, first.metadata) == (0.0, {"objects": ["dot"]})
    assert (second.solve_rate, second.metadata) == (None, {})
    assert "metadata" not in json.loads((tmp_path / "samples.jsonl").read_text().splitlines()[1])


def test_a_folder_without_traces_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no traces"):
        read_traces(tmp_path)


def test_traces_without_their_questions_say_so(tmp_path: Path) -> None:
    write_traces(tmp_path, TRACES)
    rows = (tmp_path / "samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_text("".join(rows[1:]))
    with pytest.raises(
        DataError, match=r"1 traces answer questions that are not in samples\.jsonl"
    ):
        read_traces(tmp_path)


def test_rows_of_another_kind_say_so(tmp_path: Path) -> None:
    write_traces(tmp_path, TRACES)
    (tmp_path / "traces.jsonl").write_text('{"question": "?"}\n')
    with pytest.raises(DataError, match="has a row that is no trace"):
        read_traces(tmp_path)


def test_sets_are_joined_in_order() -> None:
    both = join([TRACES, TRACES.with_rows(TRACES.rows[:1])])
    assert len(both) == 4
    assert both.sample(both.rows[3]) == COUNT


def test_two_questions_of_one_id_stay_two(tmp_path: Path) -> None:
    other = replace(COUNT, question="What is the capital of France?", answer="Paris", kind="text")
    here = TraceSet((row(COUNT),), {COUNT.id: COUNT})
    write_traces(tmp_path, TraceSet((row(other),), {COUNT.id: other}))
    both = join([here, read_traces(tmp_path), here])
    assert [both.sample(r).answer for r in both.rows] == [COUNT.answer, "Paris", COUNT.answer]
    assert [r.sample_id for r in both.rows] == [COUNT.id, f"{COUNT.id}~1", COUNT.id]
    assert both.sample(both.rows[1]) == replace(other, id=f"{COUNT.id}~1", source="")
    write_traces(tmp_path / "again", both)
    assert read_traces(tmp_path / "again").rows == both.rows


def test_pictures_tell_questions_of_one_id_and_text_apart(tmp_path: Path) -> None:
    other = replace(COUNT, images=(*COUNT.images, *COUNT.images))
    write_traces(tmp_path, TraceSet((row(other),), {COUNT.id: other}))
    stored = read_traces(tmp_path)
    assert stored.content(COUNT.id) == TraceSet((), {COUNT.id: other}).content(COUNT.id)
    assert stored.content(COUNT.id) != TraceSet((), {COUNT.id: COUNT}).content(COUNT.id)


def test_chats_that_we_wrote_come_back_exactly(tmp_path: Path) -> None:
    path = write_chats(tmp_path, TRACES)
    found = read_chats(path, "think_answer")
    for mine, back in zip(TRACES.rows, found.rows, strict=True):
        assert (back.sample_id, back.response, back.grammar) == (
            mine.sample_id, mine.response, mine.grammar,
        )  # fmt: skip
        assert found.sample(back).images == TRACES.sample(mine).images
        assert found.sample(back).options == TRACES.sample(mine).options
        assert back.correct is True, "they are graded against their gold"
    assert found.rows[2].system_prompt == ""


def test_what_other_trainers_read_of_our_chats(tmp_path: Path) -> None:
    first, second, third = json.loads(write_chats(tmp_path, TRACES).read_text())
    assert first["conversations"][0] == {"from": "human", "value": "<image><image>How many?"}
    assert first["conversations"][1]["from"] == "gpt"
    assert first["system"].startswith("Answer the question.")
    assert all((tmp_path / name).is_file() for name in first["images"])
    assert second["conversations"][0]["value"] == "<image> or <image>?"
    assert third["conversations"][0]["value"] == "Which?\nA. red\nB. blue"


def test_preference_pairs_are_written_and_read_by_side(tmp_path: Path) -> None:
    pairs = [(r, replace(r, response="no tags")) for r in TRACES.rows[:2]]
    path = write_chats(tmp_path, TRACES, pairs)
    assert len(json.loads(path.read_text())) == 2
    chosen, rejected = (read_chats(path, "think_answer", side=s) for s in ("chosen", "rejected"))
    assert [r.response for r in rejected.rows] == ["no tags", "no tags"]
    assert [r.sample_id for r in chosen.rows] == [r.sample_id for r in rejected.rows]
    assert chosen.rows[0].response == TRACES.rows[0].response


def foreign(folder: Path, *rows: Any) -> Path:
    (folder / "a.png").write_bytes(fakes.picture())
    path = folder / "theirs.json"
    path.write_text(json.dumps(list(rows)))
    return path


def test_chats_of_other_trainers(tmp_path: Path) -> None:
    path = foreign(
        tmp_path,
        {"id": 7, "image": "a.png", "conversations": [
            {"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "Two. Answer: 2"}]},
        {"images": ["a.png"], "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]},
            {"role": "assistant", "content": "<answer>2</answer>"}]},
        {"id": "text", "answer": "4", "messages": [
            {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is 5"}]},
    )  # fmt: skip
    first, second, third = (found := read_chats(path, "think_answer")).rows
    assert (first.sample_id, first.response, first.correct) == ("theirs-7", "Two. Answer: 2", None)
    assert found.sample(first).answer == "2"
    assert found.sample(first).images == (fakes.picture(),)
    assert second.system_prompt == "Be brief."
    assert (third.correct, found.sample(third).answer) == (False, "4"), "a gold of its own"
    assert first.system_prompt is None, "asked for by the grammar's own prompt"


def test_equal_questions_are_one_question(tmp_path: Path) -> None:
    def chat(text: str) -> dict[str, Any]:
        turns = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": text}]
        return {"conversations": turns}

    found = read_chats(foreign(tmp_path, chat("4"), chat("four")), "think_answer")
    assert len(found) == 2
    assert len(found.samples) == 1


def test_rows_that_cannot_be_used_are_left_out_and_none_left_is_refused(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "2?"}, {"role": "assistant", "content": "2"}]}
    lost = {**good, "images": ["lost.png"]}
    twice = {"messages": good["messages"] * 2}
    assert len(read_chats(foreign(tmp_path, good, lost, twice, {}), "think_answer")) == 1
    with pytest.raises(DataError, match=r"no chat that could be learnt from.*image missing"):
        read_chats(foreign(tmp_path, lost, twice), "think_answer")
    with pytest.raises(DataError, match="there is no file"):
        read_chats(tmp_path / "nowhere.json", "think_answer")


def test_pictures_outside_of_a_strangers_folder_are_not_read(tmp_path: Path) -> None:
    write_traces(tmp_path / "theirs", TRACES)
    (tmp_path / "key").write_bytes(b"secret")
    path = tmp_path / "theirs" / "samples.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for place, name in enumerate(("../key", str(tmp_path / "key"))):
        rows[place]["images"] = [name]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_traces(tmp_path / "theirs")
    for sample_id in (rows[0]["sample_id"], rows[1]["sample_id"]):
        with pytest.raises(DataError, match="outside of the folder and is not read"):
            found.samples[sample_id]


def test_no_picture_is_read_before_its_question_is_asked_for(tmp_path: Path) -> None:
    write_traces(tmp_path, TRACES)
    for picture in (tmp_path / "images").iterdir():
        picture.unlink()
    assert set(read_traces(tmp_path).samples) == set(SAMPLES)
