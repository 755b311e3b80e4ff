"""Questions kept apart: none about a picture that is trained on, the same ones every time."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from observe_r1.cli.main import call
from observe_r1.data.hold_out import HoldOut
from observe_r1.data.importing import ImportConfig, held_out_of, import_rows
from observe_r1.data.sources import get_adapter
from observe_r1.data.sources.files import FoundRow
from observe_r1.data.store import read_samples
from observe_r1.errors import DataError
from observe_r1.records import read_json
from observe_r1.types import Sample


def sample(number: int, *images: bytes) -> Sample:
    return Sample(
        id=f"q{number}", question=f"What is {number}?", answer="3", kind="number", images=images
    )


def rows(count: int) -> list[FoundRow]:
    values = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n)} for n in range(count)]
    return [FoundRow(f"row:{n}", row, ()) for n, row in enumerate(values)]


def import_all(out: Path, count: int = 200, share: float = 0.2, **how):
    config = ImportConfig(hold_out=share)
    return import_rows(rows(count), get_adapter("table"), out, config, **how)


@given(st.lists(st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), min_size=1, max_size=2)))
def test_a_picture_is_on_one_side_unless_a_question_joins_two(shown: list[list[bytes]]) -> None:
    apart, sides = HoldOut(0.5), {}
    for number, images in enumerate(shown):
        side = apart.takes(sample(number, *images))
        for image in images:
            sides.setdefault(image, set()).add(side)
    both = sum(len(found) == 2 for found in sides.values())
    assert both <= 2 * apart.num_on_both_sides
    assert all(len(images) == 1 or apart.num_on_both_sides for images in shown if both)


def test_the_choice_depends_on_neither_order_nor_company() -> None:
    questions = [sample(number, bytes([number])) for number in range(200)]
    whole = {q.id for q in questions if HoldOut(0.2).takes(q)}
    apart = HoldOut(0.2)
    assert {q.id for q in reversed(questions[:100]) if apart.takes(q)} == {
        f"q{n}" for n in range(100) if f"q{n}" in whole
    }
    assert 20 < len(whole) < 60


def test_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    report = import_all(tmp_path / "all")
    left, held = read_samples(tmp_path / "all"), read_samples(tmp_path / "all-held-out")
    assert report.accepted == 200
    assert report.notes == {"held out to measure on": len(held)}
    assert len(left) + len(held) == len({s.id for s in (*left, *held)}) == 200
    assert 20 < len(held) < 60
    assert read_json(held_out_of(tmp_path / "all") / "ladder.json")["config"]["hold_out"] == 0.2


def test_a_picture_that_was_scaled_down_for_one_question_is_the_same_picture(
    tmp_path: Path,
) -> None:
    found = []
    for number in range(60):
        buffer = io.BytesIO()
        Image.new("RGB", (60, 60), (number, 0, 0)).save(buffer, format="PNG")
        for answer in ("3", "[1, 2, 3, 4]"):
            asked = {
                "question": f"{answer} in {number}?",
                "answer": answer,
                "images": [buffer.getvalue()],
            }
            found.append(FoundRow(f"row:{number}", asked, ()))
    config = ImportConfig(hold_out=0.3, shrink_images_to=784)
    import_rows(found, get_adapter("table"), tmp_path / "all", config)
    colours = [
        {Image.open(io.BytesIO(s.images[0])).getpixel((5, 5)) for s in read_samples(folder)}
        for folder in (tmp_path / "all", tmp_path / "all-held-out")
    ]
    assert not colours[0] & colours[1]
    assert len(colours[0] | colours[1]) == 60


def test_the_folder_beside_a_relative_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert held_out_of(Path(".")) == tmp_path / "here-held-out"
    assert held_out_of(Path("data/mv")) == Path("data/mv-held-out")


def test_a_share_that_leaves_one_side_empty_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"leaves 3 to train on and 0 to measure on"):
        import_all(tmp_path / "few", count=3, share=1e-6)
    assert not (tmp_path / "few" / "data").exists()
    assert not (tmp_path / "few-held-out" / "data").exists()


def test_a_folder_of_someone_elses_is_not_overwritten(tmp_path: Path) -> None:
    import_all(tmp_path / "all-held-out", share=0.0)
    with pytest.raises(DataError, match="already holds samples"):
        import_all(tmp_path / "all")
    assert len(read_samples(tmp_path / "all-held-out")) == 200


def test_build_keeps_them_beside_the_ladder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source, out = tmp_path / "my.jsonl", tmp_path / "ladder"
    lines = [json.dumps(row.values) for row in rows(60)]
    source.write_text("\n".join(lines))
    build = [
        "data",
        "build",
        str(source),
        "--as",
        "table",
        "--out",
        str(out),
        "--model",
        "./no/model",
    ]
    assert call([*build, "--hold-out", "0.2"]) == 2
    said = capsys.readouterr()
    assert f"heldout.data={tmp_path / 'ladder-held-out'}" in said.out
    assert (
        len(read_samples(out / "samples")) + len(read_samples(tmp_path / "ladder-held-out")) == 60
    )
    assert call([*build, "--hold-out", "0.3"]) == 2
    assert "hold_out: 0.2 then, 0.3 now" in capsys.readouterr().err
