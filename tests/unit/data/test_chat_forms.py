"""Chats as OpenAI, TRL and the Qwen models have them: read, written, and brought back."""

import base64
import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

import fakes
from observe_r1.data.chats import Form, read_chats, write_chats
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.types import Sample

RED, BLUE = fakes.picture((255, 0, 0)), fakes.picture((0, 0, 255))
ADDRESS = f"data:image/png;base64,{base64.b64encode(BLUE).decode()}"

PLACED = Sample(
    id="placed", question="<image> or <image>?", answer="2", kind="number", images=(RED, BLUE)
)
CHOICE = Sample(
    id="c", question="Which?", answer="B", kind="choice", options=("red", "blue"), images=(BLUE,)
)
PLAIN = Sample(id="plain", question="2 + 2?", answer="4", kind="number", family="sums")
OTHER_OPTIONS = replace(CHOICE, id="d", options=("blue", "red"), answer="A")
SAMPLES = {sample.id: sample for sample in (PLACED, CHOICE, PLAIN, OTHER_OPTIONS)}


def row(sample: Sample, **known: Any) -> TraceRow:
    values = {"grammar": "think_answer", "origin": "solver"} | known
    text = f"<think>so\n<image></think><answer>{sample.answer}</answer>"
    return TraceRow(**{"sample_id": sample.id, "response": text, **values})


TRACES = TraceSet(
    (row(PLACED), row(CHOICE, grammar="answer"), row(PLAIN, system_prompt=""),
     row(OTHER_OPTIONS, system_prompt="Be brief.")),
    SAMPLES,
)  # fmt: skip


def known(traces: TraceSet) -> list[Any]:
    """What a file of chats keeps of traces."""
    return [
        (r.sample_id, r.response, r.grammar, r.system_prompt, r.origin, s.question, s.answer,
         s.kind, s.options, s.images, s.family)
        for r in traces.rows for s in [traces.sample(r)]
    ]  # fmt: skip


@pytest.mark.parametrize("form", get_args(Form))
def test_what_we_wrote_comes_back(form: Form, tmp_path: Path) -> None:
    found = read_chats(write_chats(tmp_path, TRACES, form=form), "think_answer")
    assert known(found) == known(TRACES)
    assert all(r.correct for r in found.rows), "graded against the gold that came with them"


@pytest.mark.parametrize("form", get_args(Form))
def test_pairs_come_back_side_by_side(form: Form, tmp_path: Path) -> None:
    worse = [
        replace(r, response="no tags", origin="base", grammar="answer", system_prompt="Be brief.")
        for r in TRACES.rows
    ]
    better = [replace(r, system_prompt="Be brief.") for r in TRACES.rows]
    pairs = list(zip(better, worse, strict=True))
    path = write_chats(tmp_path, TRACES, pairs, form=form)
    assert known(read_chats(path, "answer")) == known(TRACES.with_rows(better))
    rejected = read_chats(path, "answer", side="rejected")
    assert known(rejected) == known(TRACES.with_rows(worse))


def test_messages_are_parts_and_a_list_of_pictures(tmp_path: Path) -> None:
    first, second, third, _ = json.loads(write_chats(tmp_path, TRACES, form="messages").read_text())
    system, user, assistant = first["messages"]
    assert (system["role"], user["role"], assistant["role"]) == ("system", "user", "assistant")
    assert user["content"] == [
        {"type": "image"}, {"type": "text", "text": " or "}, {"type": "image"},
        {"type": "text", "text": "?"},
    ]  # fmt: skip
    assert [(tmp_path / name).read_bytes() for name in first["images"]] == [RED, BLUE]
    assert second["messages"][1]["content"] == [
        {"type": "image"}, {"type": "text", "text": "Which?\nA. red\nB. blue"},
    ]  # fmt: skip
    assert [turn["role"] for turn in third["messages"]] == ["user", "assistant"], "an empty prompt"
    assert third["images"] == []


def test_trl_takes_our_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its trainers do: the file through ``datasets``, the pictures into their places."""
    datasets, data_utils = pytest.importorskip("datasets"), pytest.importorskip("trl.data_utils")
    pairs = [(r, replace(r, response="no tags")) for r in TRACES.rows]
    for name, both in (("sft", None), ("dpo", pairs)):
        (tmp_path / name).mkdir()
        write_chats(tmp_path / name, TRACES, both, form="messages")
        monkeypatch.chdir(tmp_path / name)  # the paths of the pictures are relative to the file
        rows = datasets.Dataset.from_list(json.loads(Path("chats.json").read_text()))
        rows = rows.cast_column("images", datasets.List(datasets.Image()))
        assert data_utils.is_conversational(rows[0])
        turns = "messages" if both is None else "prompt"
        filled = data_utils.prepare_multimodal_messages(rows[0][turns], images=rows[0]["images"])
        parts = [part for part in filled[1]["content"] if part["type"] == "image"]
        assert [encoded(part["image"]) for part in parts] == [encoded(RED), encoded(BLUE)]
        if both is not None:
            assert rows[0]["rejected"][0]["content"][0]["text"] == "no tags"


def encoded(picture: Any) -> bytes:
    image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    return image.convert("RGB").tobytes()


def foreign(folder: Path, *rows: Any) -> Path:
    (folder / "a.png").write_bytes(RED)
    path = folder / "theirs.json"
    path.write_text(json.dumps(list(rows)))
    return path


def chat(*parts: Any, **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": list(parts)}, {"role": "assistant", "content": "2"}]
    return {"messages": turns, **more}


TEXT = {"type": "text", "text": "How many?"}


@pytest.mark.parametrize(
    ("part", "picture"),
    [
        ({"type": "image", "image": "a.png"}, RED),
        ({"type": "image", "image": ADDRESS}, BLUE),
        ({"image": "a.png"}, RED),
        ({"type": "image", "path": "a.png", "image": None}, RED),
        ({"type": "image_url", "image_url": {"url": ADDRESS, "detail": "low"}}, BLUE),
        ({"type": "image_url", "image_url": {"url": "a.png"}}, RED),
        ({"type": "image_url", "image_url": {"url": "file://{folder}/a.png"}}, RED),
        ({"type": "input_image", "image_url": ADDRESS}, BLUE),
    ],
)
def test_a_picture_in_its_part(part: Any, picture: bytes, tmp_path: Path) -> None:
    placed = json.loads(json.dumps(part).replace("{folder}", str(tmp_path)))
    found = read_chats(foreign(tmp_path, chat(placed, TEXT)), "think_answer")
    sample = found.sample(found.rows[0])
    assert (sample.question, sample.images) == ("<image>How many?", (picture,))


def test_pictures_in_parts_and_beside_them_keep_their_order(tmp_path: Path) -> None:
    inside = {"type": "image", "image": ADDRESS}
    between = {"type": "text", "text": " then "}
    path = foreign(tmp_path, chat(inside, between, {"type": "image"}, images=["a.png"]))
    sample = (found := read_chats(path, "think_answer")).sample(found.rows[0])
    assert (sample.question, sample.images) == ("<image> then <image>", (BLUE, RED))


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.org/b.png"}}, "download it first"),
        ({"type": "image", "image": "../secret.png"}, "image path leaves its folder"),
        ({"type": "image", "image": "file:///etc/hostname"}, "image path leaves its folder"),
        ({"type": "image", "image": "lost.png"}, "image missing: lost.png"),
        ({"type": "image"}, "image markers do not match"),
        ({"type": "video", "video": "a.mp4"}, "neither a text nor a picture"),
        ({"type": "text", "text": None}, "neither a text nor a picture"),
    ],
)
def test_a_part_that_cannot_be_used_costs_its_row_and_says_why(
    part: Any, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(RED)
    with caplog.at_level(logging.WARNING):
        found = read_chats(foreign(folder, chat(TEXT), chat(part, TEXT)), "think_answer")
    assert len(found) == 1
    assert "1 of 2 rows are left out" in caplog.text and reason in caplog.text
    with pytest.raises(DataError, match=reason):
        read_chats(foreign(folder, chat(part, TEXT)), "think_answer")


def test_a_picture_in_an_answer_is_refused(tmp_path: Path) -> None:
    drawn = chat(TEXT)
    drawn["messages"][1]["content"] = [{"type": "image", "image": "a.png"}]
    with pytest.raises(DataError, match="a picture outside the question"):
        read_chats(foreign(tmp_path, drawn), "think_answer")


OWN = {
    "sample_id": "q", "question": "How many?", "answer": "2", "kind": "number", "options": [],
    "family": None, "grammar": "think_answer", "origin": "solver",
}  # fmt: skip


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("q", "observe_r1 is no object"),
        ({}, "no usable sample_id, question, answer, kind, grammar, origin, options"),
        ({k: v for k, v in OWN.items() if k != "sample_id"}, "no usable sample_id"),
        (OWN | {"options": "AB"}, "no usable options"),
        (OWN | {"kind": "riddle"}, "no usable kind"),
        (OWN | {"grammar": ["answer"]}, "no usable grammar"),
        (OWN | {"question": "<image>?"}, "image markers do not match"),
    ],
)
def test_our_own_key_changed_by_others_costs_its_row(own: Any, reason: str, tmp_path: Path) -> None:
    path = foreign(tmp_path, chat(TEXT, observe_r1=own), chat(TEXT, observe_r1=OWN))
    assert [r.sample_id for r in read_chats(path, "think_answer").rows] == ["q"]
    with pytest.raises(DataError, match=reason):
        read_chats(foreign(tmp_path, chat(TEXT, observe_r1=own)), "think_answer")


def test_a_gold_that_cannot_be_checked_leaves_a_trace_ungraded(tmp_path: Path) -> None:
    path = foreign(tmp_path, chat(TEXT, observe_r1=OWN | {"answer": "", "kind": "text"}))
    assert read_chats(path, "think_answer").rows[0].correct is None


def test_pairs_as_trl_has_them_keep_their_questions_when_one_side_loses_a_row(
    tmp_path: Path,
) -> None:
    def says(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    def asks(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    path = foreign(
        tmp_path,
        {"prompt": asks("1?"), "chosen": says("1"), "rejected": says("")},
        {"prompt": asks("2?"), "chosen": says("2"), "rejected": says("3")},
        {"chosen": asks("3?") + says("3"), "rejected": asks("3?") + says("4")},
    )
    better, worse = (read_chats(path, "think_answer", side=s) for s in ("chosen", "rejected"))
    assert [r.response for r in better.rows] == ["1", "2", "3"]
    said = {r.sample_id: worse.sample(r).question for r in worse.rows}
    assert said == {r.sample_id: better.sample(r).question for r in better.rows[1:]}
