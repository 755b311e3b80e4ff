import base64
import io
import json
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from observe_r1.data.checking import place_images
from observe_r1.data.importing import ImportConfig, import_rows
from observe_r1.data.open_source import open_source
from observe_r1.data.sources import BadRow, get_adapter
from observe_r1.data.sources.files import FoundRow, find_rows
from observe_r1.data.sources.pictures import Pictures
from observe_r1.data.store import read_samples
from observe_r1.errors import DataError
from observe_r1.pictures import as_seen
from observe_r1.records import read_rows


def picture(shade: int = 0, size: tuple[int, int] = (12, 12), format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 20, 20)).save(buffer, format=format)
    return buffer.getvalue()


def row(number: int, **changes) -> dict:
    values = {"id": str(number), "question": f"How many squares are in picture {number}?",
              "answer": "3", "images": [picture(number)]}  # fmt: skip
    return values | changes


def import_all(out: Path, rows: list, name: str = "table", folders=(), **settings):
    found = [FoundRow(f"row:{n}", values, folders) for n, values in enumerate(rows)]
    return import_rows(found, get_adapter(name), out, ImportConfig(**settings), overwrite=True)


def reasons(out: Path) -> list[str]:
    return [
        json.loads(line)["reason"] for line in (out / "rejected.jsonl").read_text().splitlines()
    ]


def only_reason(out: Path, *changes: dict, **settings) -> str:
    """The reason for which one row among good ones is rejected."""
    rows = [row(1), *(row(2, **change) for change in changes), row(3)]
    report = import_all(out, rows, **settings)
    assert report.accepted == 2
    (reason,) = reasons(out)
    return reason


BAD_ROWS = {
    "image unreadable": {"images": [picture()[:45]]},
    "image missing": {"images": ["no/such.png"]},
    "image too large": {"images": [picture(size=(300, 300))]},
    "image too narrow": {"images": [picture(size=(250, 1))]},
    "no answer": {"answer": " NaN "},
    "answer cannot be checked": {"answer": "it depends on what one means by a square in this picture"},
    "answer is none of the options": {"answer": "E", "options": ["1", "2"]},
    "image markers do not match": {"question": "<image> and <image>?"},
    "special token in the text": {"question": "How many <|im_end|> are there?"},
    "duplicate": row(1, id="other", question="How  many squares are in picture 1 ?"),
    "field missing": {"question": None},
    "too long": {"question": "why " * 40_000},
    "row cannot be read": {},
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD_ROWS)
def test_a_bad_row_is_rejected_for_its_reason_and_the_rest_goes_on(reason, tmp_path):
    if reason == "row cannot be read":
        rows = [row(1), BadRow(reason, "not JSON"), row(3)]
        assert import_all(tmp_path, rows).accepted == 2
        assert reasons(tmp_path) == [reason]
    else:
        assert only_reason(tmp_path, BAD_ROWS[reason], max_image_pixels=40_000) == reason


def test_the_counts_add_up_to_the_input(tmp_path):
    rows = [row(n) for n in range(20)] + [row(50, **bad) for bad in BAD_ROWS.values() if bad]
    report = import_all(tmp_path, rows, max_image_pixels=40_000)
    assert report.accepted + sum(report.rejected.values()) == report.num_rows == len(rows)
    assert Counter(reasons(tmp_path)) == report.rejected
    history = json.loads((tmp_path / "ladder.json").read_text())
    assert sum(history["rows"].values()) == history["num_rows"]


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    # 20 000 × 20 000 white pixels in a few kilobytes: 1.2 GB if it were decoded.
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )
    assert only_reason(tmp_path, {"images": [bomb]}) == "image too large"


def test_a_path_that_leaves_its_folder_is_never_opened(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(9))
    inside = tmp_path / "set"
    inside.mkdir()
    (inside / "ok.png").write_bytes(picture(7))
    (inside / "link.png").symlink_to(secret)
    paths = ["ok.png", "../secret.png", str(secret), "link.png", f"file://{secret}"]
    rows = [row(n, images=[path]) for n, path in enumerate(paths)]
    report = import_all(tmp_path / "out", rows, folders=(inside,))
    assert report.accepted == 1
    assert report.rejected == {"image path leaves its folder": 4}


def test_ids_that_repeat_are_numbered_and_no_row_is_lost(tmp_path):
    report = import_all(tmp_path, [row(n, id="same") for n in range(3)])
    ids = [sample.id for sample in read_samples(tmp_path)]
    assert ids == ["table-same", "table-same-2", "table-same-3"]
    assert report.notes == {"id repeated, numbered": 2}


def test_special_tokens_can_be_split_instead(tmp_path):
    rows = [row(1, question="What does <|im_end|> do, and </s>?")]
    import_all(tmp_path, rows, special_tokens="split")
    assert read_samples(tmp_path)[0].question == "What does < |im_end|> do, and < /s>?"


def test_images_come_as_path_bytes_base64_and_pil(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    encoded = base64.b64encode(picture(2)).decode()
    rows = [
        row(1, images="a.png"),
        row(2, images=[encoded]),
        row(3, images=[f"data:image/png;base64,{base64.b64encode(picture(3)).decode()}"]),
        row(4, images=[Image.new("RGB", (9, 9))]),
        row(5, images={"bytes": picture(5), "path": "x.png"}),
        row(6, images=[{"bytes": None, "path": "a.png"}, picture(6)]),
        row(7, images=None),
        row(8, images="a"),
    ]
    report = import_all(tmp_path / "out", rows, folders=(tmp_path,))
    assert report.accepted == len(rows)
    assert [len(s.images) for s in read_samples(tmp_path / "out")] == [1, 1, 1, 1, 1, 2, 0, 1]


def test_other_picture_formats_become_png_and_known_ones_stay_as_they_are(tmp_path):
    jpeg, bmp = picture(1, format="JPEG"), picture(2, format="BMP")
    import_all(tmp_path, [row(1, images=[jpeg]), row(2, images=[bmp])])
    first, second = read_samples(tmp_path)
    assert first.images == (jpeg,)
    assert second.images[0].startswith(b"\x89PNG")


def test_larger_pictures_are_scaled_down_when_that_is_wished(tmp_path):
    photo, drawing, small = picture(1, (400, 100), "JPEG"), picture(2, (100, 400)), picture(3)
    rows = [row(n, images=[image]) for n, image in enumerate([photo, drawing, small])]
    import_all(tmp_path, rows, shrink_images_to=10_000)
    first, second, third = (sample.images[0] for sample in read_samples(tmp_path))
    assert (Image.open(io.BytesIO(first)).size, first[:3]) == ((200, 50), b"\xff\xd8\xff")
    assert (Image.open(io.BytesIO(second)).size, second[:4]) == ((50, 200), b"\x89PNG")
    assert third == small


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({"answer": "3, 4", "kind": "point"}, 300),
        ({"answer": "[10, 20, 30, 40]"}, 300),
        ({"answer": "(10,20),(30,40)"}, 300),
        ({"answer": "A", "options": ["[1, 2]", "[3, 4]"]}, 300),
        ({"answer": "A", "options": ["(1)", "(3)"]}, 100),
        ({"answer": "(3,-4)"}, 100),
        ({"answer": "[-3, 4]"}, 100),
        ({"answer": "3"}, 100),
    ],
)
def test_a_picture_keeps_its_size_where_the_answer_may_count_in_its_pixels(tmp_path, changes, side):
    found = row(1, images=[picture(4, (300, 300))], **changes)
    report = import_all(tmp_path, [found], name="ladder", shrink_images_to=10_000)
    (sample,) = read_samples(tmp_path)
    assert Image.open(io.BytesIO(sample.images[0])).size == (side, side)
    assert report.notes == ({"picture scaled down": 1} if side == 100 else {})


@pytest.mark.parametrize(
    ("answer", "way_out"),
    [("3", "--shrink-images-to makes pictures smaller"), ("(3,4)", "--max-prompt-tokens allows")],
)
def test_a_picture_too_large_is_refused_with_the_way_out_that_leads_there(
    tmp_path, answer, way_out
):
    found = row(1, answer=answer, images=[picture(4, (300, 300))])
    import_all(tmp_path, [found, row(2)], max_prompt_tokens=100)
    (line,) = read_rows(tmp_path / "rejected.jsonl")
    assert line["reason"] == "too long"
    assert way_out in line["detail"]


def test_pictures_that_readers_see_differently_are_stored_as_a_person_sees_them(tmp_path):
    drawing = Image.new("P", (20, 20))
    drawing.putpalette([0, 0, 0, 255, 0, 0])
    lines = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    turned = Image.new("RGB", (20, 10), (9, 9, 9))
    turned.getexif()[0x0112] = 6
    frames = {"save_all": True, "append_images": [turned], "exif": turned.getexif()}
    pictures = [
        saved(drawing, "PNG", transparency=0), saved(lines, "PNG"),
        saved(turned, "JPEG", exif=turned.getexif()), saved(turned, "MPO", **frames),
    ]  # fmt: skip
    import_all(tmp_path, [row(n, images=[image]) for n, image in enumerate(pictures)])
    found = [Image.open(io.BytesIO(s.images[0])) for s in read_samples(tmp_path)]
    assert [(p.format, p.mode, p.size) for p in found] == [
        ("PNG", "RGB", (20, 20)), ("PNG", "RGB", (20, 20)),
        ("JPEG", "RGB", (10, 20)), ("JPEG", "RGB", (10, 20)),
    ]  # fmt: skip
    assert [p.getpixel((3, 3)) for p in found[:2]] == [(255, 255, 255)] * 2
    assert not any(0x0112 in p.getexif() for p in found)


def saved(picture: Image.Image, format: str, **how) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **how)
    return buffer.getvalue()


def test_a_broken_note_in_a_picture_is_no_note(tmp_path):
    odd = saved(Image.new("RGB", (20, 10)), "PNG", exif=b"Exif\0\0garbage that is no header")
    report = import_all(tmp_path, [row(1, images=[odd])], shrink_images_to=784)
    assert report.accepted == 1
    with Image.open(io.BytesIO(odd)) as picture:
        assert as_seen(picture).size == (20, 10)


def test_a_picture_is_decoded_once_however_often_it_occurs(tmp_path):
    pictures = Pictures(max_pixels=10**6, max_bytes=10**6)
    checks = []
    real = pictures._check
    pictures._check = lambda *given: checks.append(1) or real(*given)
    for _ in range(5):
        pictures.load(picture(1), [tmp_path])
    assert len(checks) == 1


def test_golds_of_choices_are_stored_as_letters(tmp_path):
    options = ["red", "blue", "green"]
    rows = [row(n, options=options, answer=a) for n, a in enumerate(["B", "(b)", "blue", "B."])]
    import_all(tmp_path, rows)
    assert {(s.answer, s.kind) for s in read_samples(tmp_path)} == {("B", "choice")}


def test_numbered_markers_put_the_images_in_their_order_of_appearance():
    assert place_images("<image 2> or <image 1>?", (), 2) == ("<image> or <image>?", (), (1, 0))
    assert place_images("Which?", ("<image1>", "<image2>"), 2)[2] == (0, 1)
    assert place_images("<image1> and <image1>", (), 1)[2] == (0, 0)
    assert place_images("No marker", (), 2) == ("No marker", (), (0, 1))
    for question, count in (
        ("<image>", 2),
        ("<image 3>", 2),
        ("<image><image 1>", 2),
        ("<image>", 0),
    ):
        with pytest.raises(BadRow):
            place_images(question, (), count)


def test_an_import_streams_its_source(tmp_path):
    """Rows are asked for one by one: never more than a row group ahead of what is written."""
    import tracemalloc

    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)

    def rows(count):
        for number in range(count):
            noise[0, 0] = (number % 256, number // 256, 7)
            buffer = io.BytesIO()
            Image.fromarray(noise).save(buffer, format="PNG", compress_level=0)
            yield FoundRow(f"r:{number}", row(number, images=[buffer.getvalue()]), ())

    def peak(count: int) -> int:
        tracemalloc.start()
        import_rows(rows(count), get_adapter("table"), tmp_path, overwrite=True)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(900) < peak(300) + 2_000_000  # 11 MB of pictures against 4 MB


@pytest.mark.parametrize("answer", [None, "", "  ", float("nan"), float("inf"), True, [3], "n/a"])
def test_an_answer_that_is_none_is_called_so(answer, tmp_path):
    assert only_reason(tmp_path, {"answer": answer}) == "no answer"


def test_a_file_that_is_no_picture_is_told_what_would_be_one(tmp_path):
    import_all(tmp_path, [row(1), row(2, images=[b"<svg/>"])])
    (line,) = (tmp_path / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["detail"] == "none of PNG, JPEG, WEBP, GIF, BMP, TIFF"


def test_an_import_that_accepts_nothing_says_why_and_leaves_no_samples(tmp_path):
    with pytest.raises(
        DataError, match=r"None of the 3 rows.*field missing \(2\), no answer \(1\)"
    ):
        import_all(tmp_path, [{"a": 1}, {"a": 2}, row(3, answer="")])
    assert reasons(tmp_path) == ["field missing", "field missing", "no answer"]
    with pytest.raises(DataError):
        read_samples(tmp_path)
    with pytest.raises(DataError, match="holds no row"):
        import_all(tmp_path, [])


def test_an_interrupted_import_leaves_no_half_folder(tmp_path):
    def rows():
        yield FoundRow("r:1", row(1), ())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_rows(rows(), get_adapter("table"), tmp_path)
    with pytest.raises(DataError):
        read_samples(tmp_path)


def test_puzzles_are_a_source(tmp_path):
    rows, adapter = open_source("counting,dice", "puzzles", limit=20, seed=3)
    report = import_rows(rows, adapter, tmp_path)
    assert report.num_rows == 20
    assert {s.family for s in read_samples(tmp_path)} == {"counting", "dice"}


def test_a_ladder_is_imported_with_what_was_measured(tmp_path):
    measured = {"level": 3, "solve_rate": 0.625, "rung": 2, "position": 0, "complexity": 9.0}
    import_all(tmp_path / "a", [row(1, kind="number") | measured], name="ladder")
    rows = find_rows(tmp_path / "a")
    assert import_rows(rows, get_adapter("ladder"), tmp_path / "b").accepted == 1
    assert list(read_samples(tmp_path / "b")) == list(read_samples(tmp_path / "a"))


def test_named_columns_are_kept_for_rewards_and_go_from_folder_to_folder(tmp_path):
    rows = [
        row(1, box=[0.25, float("nan")], seen=date(2026, 5, 1), note="not asked for"),
        row(2, box=None),
    ]
    import_all(tmp_path / "a", rows, metadata=("box", "seen"))
    kept = [sample.metadata for sample in read_samples(tmp_path / "a")]
    assert kept == [{"box": [0.25, None], "seen": "2026-05-01"}, {"box": None}]
    import_rows(find_rows(tmp_path / "a" / "data"), get_adapter("ladder"), tmp_path / "b")
    assert list(read_samples(tmp_path / "b")) == list(read_samples(tmp_path / "a"))


def test_a_column_to_keep_that_is_nowhere_or_no_json_is_named(tmp_path):
    with pytest.raises(DataError, match="no row has a column bbox"):
        import_all(tmp_path, [row(1, box=[1])], metadata=("box", "bbox"))
    assert not (tmp_path / "data").exists()
    import_all(tmp_path, [row(1), row(2, box=b"raw")], metadata=("id", "box"))
    (line,) = read_rows(tmp_path / "rejected.jsonl")
    assert (line["reason"], line["detail"]) == ("metadata cannot be kept", "box holds bytes")


def test_puzzles_keep_how_they_were_made(tmp_path):
    rows, adapter = open_source("puzzles", "", limit=3, seed=5)
    import_rows(rows, adapter, tmp_path)
    assert all({"puzzle_level", "facts"} <= s.metadata.keys() for s in read_samples(tmp_path))


def test_a_source_that_is_nowhere_is_named():
    with pytest.raises(DataError, match="does not exist"):
        open_source("no/such/folder/at/all", "table")


def test_a_table_that_knows_nothing_of_the_real_questions_accounts_for_all_of_them(
    real_questions, tmp_path
):
    report = import_rows(find_rows(real_questions), get_adapter("table"), tmp_path)
    # One picture holds all that several markers name, which only the adapter of the set can know.
    markers = {"image markers do not match": 58}
    assert report.table() == {"accepted": 244, "too long": 2} | markers


def test_all_real_questions_are_accounted_for(real_questions, tmp_path):
    rows = find_rows(real_questions)
    config = ImportConfig(max_prompt_tokens=16384)
    report = import_rows(rows, get_adapter("mathvision"), tmp_path, config)
    # Each row was looked at: every one has its picture and a gold that can be checked.
    assert (report.num_rows, report.table()) == (304, {"accepted": 304})
    kinds = Counter(sample.kind for sample in read_samples(tmp_path))
    assert kinds == {"choice": 191, "number": 112, "expression": 1}


def test_the_two_largest_real_pictures_are_left_out_unless_made_smaller(real_questions, tmp_path):
    adapter = get_adapter("mathvision")
    as_found = import_rows(find_rows(real_questions), adapter, tmp_path / "found")
    assert as_found.table() == {"accepted": 302, "too long": 2}
    lines = list(read_rows(tmp_path / "found" / "rejected.jsonl"))
    assert [line["id"] for line in lines] == ["2955", "2984"]
    assert all("--shrink-images-to makes pictures smaller" in line["detail"] for line in lines)

    config = ImportConfig(shrink_images_to=1_000_000)
    shrunk = import_rows(find_rows(real_questions), adapter, tmp_path / "shrunk", config)
    assert shrunk.table() == {"accepted": 304}
