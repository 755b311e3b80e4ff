"""``data import owner/name``: the real ``datasets`` and hub clients against a hub of one data set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fakes
from fake_hub import hub
from observe_r1.data.open_source import _with_pictures
from observe_r1.data.sources.base import BadRow
from observe_r1.data.store import read_samples

pytest.importorskip("datasets")

CARD = """---
configs:
- config_name: {config}
  data_files: [{{split: {split}, path: {split}/*}}]
---
"""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Picture files with a table beside them."""
    folder = tmp_path / "published"
    (folder / "testmini").mkdir(parents=True)
    for number in range(3):
        picture = folder / "testmini" / f"u_q{number}.png"
        picture.write_bytes(fakes.picture((60 * number, 9, 9)))
    (folder / "testmini" / "metadata.csv").write_text(
        "file_name,final_answer,final_answer_range,category\n"
        "u_q0.png,2,1-4,odd_one_out\nu_q1.png,C,A-D,odd_one_out\nu_q2.png,,1-4,odd_one_out\n"
    )
    (folder / "README.md").write_text(CARD.format(config="default", split="testmini"))
    return folder


@pytest.fixture
def published_table(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    (folder / "train").mkdir(parents=True)
    rows = [{"problem": f"What is {n} + {n}?", "label": str(2 * n)} for n in range(4)]
    (folder / "train" / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "README.md").write_text(CARD.format(config="sums", split="train"))
    return folder


def data_import(
    source: str, address: str, scratch: Path, *options: str
) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_HOME": str(scratch / "cache"), "HF_HUB_OFFLINE": "0",
        "HF_HUB_DOWNLOAD_TIMEOUT": "120", "HF_HUB_ETAG_TIMEOUT": "120",  # busy machines
    }  # fmt: skip
    command = ["data", "import", source, "--out", str(scratch / "out"), "--json", *options]
    return subprocess.run(
        [sys.executable, "-m", "observe_r1.cli.main", *command],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_set_of_picture_files_is_streamed_with_its_pictures(published: Path, tmp_path: Path):
    with hub(published) as address:
        done = data_import("owner/name:testmini", address, tmp_path, "--as", "polymath")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rows"] == {"accepted": 2, "no answer": 1}
    stored = read_samples(tmp_path / "out")
    assert [s.images[0] for s in stored] == [
        (published / "testmini" / f"u_q{n}.png").read_bytes() for n in range(2)
    ]
    assert [(s.id, s.answer, len(s.options)) for s in stored] == [
        ("polymath-u_q0", "B", 4), ("polymath-u_q1", "C", 4),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_plain_table_is_streamed_with_a_mapping(published_table: Path, tmp_path: Path):
    columns = ("--as", "table", "--column", "question=problem", "--column", "answer=label")
    with hub(published_table) as address:
        done = data_import("owner/name:sums/train", address, tmp_path, *columns)
    assert done.returncode == 0, done.stderr
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert [s.answer for s in read_samples(tmp_path / "out")] == ["0", "2", "4", "6"], rejected


@pytest.mark.slow
def test_a_split_that_is_not_there_is_one_message_with_those_that_are(
    published: Path, tmp_path: Path
):
    with hub(published) as address:
        done = data_import("owner/name:test", address, tmp_path, "--as", "polymath")
    assert done.returncode == 2
    assert "testmini" in done.stderr and "owner/name:config/split" in done.stderr
    assert "Traceback" not in done.stderr


def test_only_addresses_within_the_data_set_are_followed(tmp_path: Path):
    """A row is somebody else's text: it must not make us read files or other addresses."""
    home = "hf://datasets/owner/name@"
    secret = tmp_path / "secret.png"
    secret.write_bytes(fakes.picture())
    for path in (
        str(secret), f"file://{secret}", f"file://{secret}#{home}", "http://127.0.0.1:9/x.png",
        f"simplecache::file://{secret}", f"filecache://x::{home}1/x.zip",
    ):  # fmt: skip
        row = {"image": {"bytes": None, "path": path}}
        assert _with_pictures(row, home) == row
    held = {"image": {"bytes": b"png", "path": f"{home}1/x.png"}}
    assert _with_pictures(held, home) == held
    assert not isinstance(_with_pictures(held, home), BadRow)
