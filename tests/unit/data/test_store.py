import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from observe_r1.data.columns import COLUMNS, prompt_messages
from observe_r1.data.store import read_samples, write_samples
from observe_r1.errors import DataError
from observe_r1.types import Sample


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


def sample(index: int, **changes) -> Sample:
    values = {
        "id": f"s{index}", "question": f"Question {index}?", "answer": "3", "kind": "number",
        "images": (picture(index % 250),), "source": "test", "family": "f",
    }  # fmt: skip
    return Sample(**(values | changes))


def test_samples_come_back_as_they_were_written(tmp_path):
    written = [
        sample(0, level=3, rung=2, position=0, solve_rate=0.625, complexity=41.5),
        sample(1, images=(picture(1), picture(2)), question="<image> or <image>?"),
        sample(2, images=(), options=("red", "blue"), kind="choice", answer="A", family=None),
        sample(3, metadata={"box": [1, 2.5, None], "of": {"unit": "µm", "is_exact": True}}),
    ]
    assert write_samples(tmp_path, iter(written)) == 4
    stored = read_samples(tmp_path)
    assert len(stored) == 4
    assert list(stored) == written
    assert stored[1] == written[1] and stored[-1] == written[-1]


def test_metadata_that_is_no_json_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="metadata of sample 's1' cannot be stored"):
        write_samples(tmp_path, [sample(0), sample(1, metadata={"box": {1, 2}})])
    assert not (tmp_path / "data").exists()


def test_slices_and_selections_are_lazy_and_in_order(tmp_path):
    write_samples(tmp_path, (sample(i) for i in range(600)))
    stored = read_samples(tmp_path)
    assert [s.id for s in stored[595:]] == [f"s{i}" for i in range(595, 600)]
    order = np.random.default_rng(0).permutation(600)
    assert [s.id for s in stored.take(order)] == [f"s{i}" for i in order]
    assert stored.take(order).column("id").tolist() == [f"s{i}" for i in order]


def test_columns_are_read_without_the_pictures_and_unknown_numbers_are_nan(tmp_path):
    write_samples(tmp_path, [sample(0, level=3), sample(1)])
    levels = read_samples(tmp_path).column("level")
    assert levels[0] == 3.0 and np.isnan(levels[1])


def test_the_columns_are_those_of_the_contract(tmp_path):
    write_samples(tmp_path, [sample(0)])
    path = tmp_path / "data" / "train-00000-of-00001.parquet"
    assert tuple(pq.read_schema(path).names) == COLUMNS


def test_an_image_shared_by_many_questions_is_stored_once_in_a_row_group(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    write_samples(tmp_path, (sample(i, images=(buffer.getvalue(),)) for i in range(100)))
    size = sum(path.stat().st_size for path in (tmp_path / "data").iterdir())
    assert size < 2 * len(buffer.getvalue())


def test_an_empty_set_can_be_written_and_read(tmp_path):
    write_samples(tmp_path, [])
    assert len(read_samples(tmp_path)) == 0


def test_a_folder_that_holds_samples_is_not_overwritten_unasked(tmp_path):
    write_samples(tmp_path, [sample(0)])
    with pytest.raises(DataError, match="already holds samples"):
        write_samples(tmp_path, [sample(1)])
    write_samples(tmp_path, [sample(1)], overwrite=True)
    assert [s.id for s in read_samples(tmp_path)] == ["s1"]


def test_a_failure_while_writing_leaves_the_old_samples_in_place(tmp_path):
    write_samples(tmp_path, [sample(0)])

    def broken():
        yield sample(1)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_samples(tmp_path, broken(), overwrite=True)
    assert [s.id for s in read_samples(tmp_path)] == ["s0"]
    assert not (tmp_path / ".data.part").exists()


def test_a_folder_without_samples_is_named(tmp_path):
    with pytest.raises(DataError, match="not a data folder"):
        read_samples(tmp_path)


def test_a_damaged_shard_is_named(tmp_path):
    write_samples(tmp_path, [sample(i) for i in range(50)])
    path = tmp_path / "data" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet cannot be read"):
        read_samples(tmp_path)


def test_images_stand_at_their_markers_in_the_prompt():
    asked = sample(0, question="Is <image> like <image>?", images=(picture(0), picture(1)))
    types = [part["type"] for part in prompt_messages(asked)[0]["content"]]
    assert types == ["text", "image", "text", "image", "text"]
    first = prompt_messages(sample(0))[0]["content"]
    assert [part["type"] for part in first] == ["image", "text"]


def test_datasets_loads_the_folder_with_pictures(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_samples(tmp_path / "set", [sample(i) for i in range(3)])
    loaded = datasets.load_dataset(
        str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded[1]["images"][0].size == (8, 8)
    assert loaded[1]["prompt"][0]["role"] == "user"
    assert loaded.column_names == list(COLUMNS)
