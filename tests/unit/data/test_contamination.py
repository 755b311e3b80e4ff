import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from observe_r1.data.contamination import Fingerprints, picture_hash, question_runs
from observe_r1.data.importing import ImportConfig, import_rows
from observe_r1.data.open_source import benchmark_samples
from observe_r1.data.sources import get_adapter
from observe_r1.data.sources.files import FoundRow
from observe_r1.data.store import read_samples, write_samples
from observe_r1.types import Sample

LONG = (
    "A wheel of radius three rolls along the wall until it meets the corner; how far has it come?"
)


def drawing(seed: int, size: int = 200, format: str = "PNG", quality: int = 75) -> bytes:
    """Lines and circles at random places, the same at every size."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (400, 400), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x0, y0, x1, y1 = (int(v) for v in rng.integers(0, 400, 4))
        pen.line((x0, y0, x1, y1), fill="black", width=9)
        pen.ellipse((x0, y0, x0 + 60, y0 + 60), outline="navy", fill="gold", width=5)
    buffer = io.BytesIO()
    image.resize((size, size)).save(buffer, format=format, quality=quality)
    return buffer.getvalue()


def sample(name: str, question: str, *images: bytes) -> Sample:
    return Sample(id=name, question=question, answer="1", kind="number", images=images)


def test_a_hash_survives_scaling_and_compression_and_tells_pictures_apart():
    original = picture_hash(drawing(1))
    for copy in (drawing(1, 150), drawing(1, 320), drawing(1, 200, "JPEG", 60)):
        assert (original ^ picture_hash(copy)).bit_count() <= 6
    others = [(original ^ picture_hash(drawing(seed))).bit_count() for seed in range(2, 12)]
    assert min(others) > 15


def test_the_same_picture_with_another_question_is_found():
    known = Fingerprints([sample("bench-1", "What is the area?", drawing(1))])
    overlap = known.find(sample("mine", "Something else", drawing(1, 160, "JPEG")))
    assert overlap is not None and overlap.of == "bench-1" and overlap.what == "picture"


def test_the_same_question_with_other_spelling_is_found_and_short_ones_are_not():
    known = Fingerprints([sample("bench-1", LONG), sample("bench-2", "Find x.")])
    overlap = known.find(sample("mine", LONG.upper().replace(";", " -")))
    assert overlap is not None and overlap.what == "question" and overlap.likeness == 1.0
    assert known.find(sample("mine", "Find x.")) is None


def test_blank_pictures_are_no_evidence():
    blank = io.BytesIO()
    Image.new("RGB", (99, 99), "white").save(blank, format="PNG")
    known = Fingerprints([sample("bench-1", "How many points?", blank.getvalue())])
    assert known.find(sample("mine", "What colour is it?", blank.getvalue())) is None


def test_different_questions_and_pictures_are_kept():
    known = Fingerprints([sample(f"b{i}", f"{LONG} {i}", drawing(i)) for i in range(20)])
    others = [
        sample("m", f"Count the circles in part {i} of the plan.", drawing(100 + i))
        for i in range(20)
    ]
    assert [known.find(other) for other in others] == [None] * 20


def test_runs_are_five_words_and_ignore_image_markers():
    assert question_runs("<image> one two three four five six") == question_runs(
        "one two three four five six"
    )
    assert len(question_runs("one two three four five six")) == 2
    assert len(question_runs("one two")) == 1 and question_runs("<image>") == set()


@pytest.mark.parametrize("overlaps", ["exclude", "keep"])
def test_an_import_excludes_what_a_benchmark_holds_or_lists_it(overlaps, tmp_path):
    write_samples(tmp_path / "bench", [sample("bench-1", LONG, drawing(1))])
    rows = [
        {"id": "1", "question": "Entirely new?", "answer": "2", "images": [drawing(1, 150)]},
        {"id": "2", "question": "What about this one?", "answer": "2", "images": [drawing(2)]},
    ]
    found = [FoundRow(f"r:{n}", values, ()) for n, values in enumerate(rows)]
    known = Fingerprints(benchmark_samples(str(tmp_path / "bench")))
    config = ImportConfig(overlaps=overlaps)
    report = import_rows(found, get_adapter("table"), tmp_path / "out", config, against=known)
    if overlaps == "exclude":
        assert report.rejected == {"near-duplicate of a benchmark": 1}
        assert [s.id for s in read_samples(tmp_path / "out")] == ["table-2"]
    else:
        assert report.accepted == 2
        assert report.notes == {"near-duplicate of a benchmark, kept": 1}
        (kept,) = map(json.loads, (tmp_path / "out" / "overlaps.jsonl").read_text().splitlines())
        assert (kept["id"], kept["of"], kept["what"]) == ("table-1", "bench-1", "picture")


def test_a_benchmark_with_bad_rows_is_compared_with_as_far_as_it_goes(tmp_path):
    rows = [{"pid": "1", "question": LONG, "answer": "2", "image": "lost.png"},
            {"pid": "2", "answer": "3"}, ["no row"]]  # fmt: skip
    (tmp_path / "b.json").write_text(json.dumps(rows))
    bad = []
    found = list(benchmark_samples(f"mathvista:{tmp_path / 'b.json'}", on_bad=bad.append))
    assert [(s.id, s.images) for s in found] == [("mathvista-1", ())]
    assert [row.reason for row in bad] == ["image missing", "field missing", "row cannot be read"]
    assert Fingerprints(found).find(sample("mine", LONG)).of == "mathvista-1"
