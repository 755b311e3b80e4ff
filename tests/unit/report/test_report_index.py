"""The offset index: the same groups whether built at once, bit by bit, or read from disk."""

import json
import random
from pathlib import Path

import pytest

from observe_r1.report import rows
from observe_r1.report.groups import read_group
from observe_r1.report.index import NAME, IndexBuilder, open_index


def write(path: Path, found: list[dict], mode: str = "w") -> None:
    with open(path, mode, encoding="ascii") as file:
        file.writelines(json.dumps(row) + "\n" for row in found)


def completion(step: int, group: int, index: int, correct: bool = False) -> dict:
    return {
        "step": step, "group": group, "index": index, "sample_id": f"s{group}", "text": f"t{step}.{group}.{index}",
        "correct": correct, "truncated": index == 1, "num_tokens": 10 + index, "reward": float(index), "weight": 0.5,
        "bonus": 0.2 if correct else 0.0, "admitted": group != 2, "rewards": {"accuracy": float(correct)},
    }  # fmt: skip


def test_numbers_of_a_group_are_those_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    write(path, [completion(1, 0, 0, True), completion(1, 0, 1), completion(1, 2, 0)])
    index = open_index(path)
    assert index.num_groups == 2
    assert index.num_rollouts == 3
    first = index.groups[0]
    assert (first["size"], first["correct"], first["truncated"]) == (2, 1, 1)
    assert first["reward"] == 0.5
    assert first["tokens"] == 10.5
    assert index.groups["admitted"].tolist() == [1, 0]
    assert index.groups["bonus"].tolist() == [1, 0]


def test_a_group_is_read_back_from_its_place(good_run: Path) -> None:
    index = open_index(good_run / "rollouts.jsonl")
    lines = (good_run / "rollouts.jsonl").read_text().splitlines()
    for place in (0, 17, index.num_groups - 1):
        group = read_group(good_run / "rollouts.jsonl", index, place, 10_000)
        wanted = [json.loads(line) for line in lines[place * 6 : place * 6 + 6]]
        assert [c["text"] for c in group["completions"]] == [row["text"] for row in wanted]
        assert group["step"] == wanted[0]["step"]
        assert group["sample"] == wanted[0]["sample_id"]


def test_rows_of_one_group_may_lie_apart(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    found = [completion(s, g, i, i == 0) for s in (1, 2) for g in (0, 1) for i in (0, 1, 2)]
    random.Random(3).shuffle(found)
    write(path, found)
    index = open_index(path)
    assert index.num_groups == 4
    for place in range(4):
        group = read_group(path, index, place, 100)
        assert [c["index"] for c in group["completions"]] == [0, 1, 2]
        assert (group["size"], group["correct"], group["reward"]) == (3, 1, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_growing_bit_by_bit_gives_the_same_index(good_run: Path, tmp_path: Path, seed: int) -> None:
    content = (good_run / "rollouts.jsonl").read_bytes()
    rng = random.Random(seed)
    cuts = [*sorted(rng.sample(range(len(content)), 12)), len(content)]
    path = tmp_path / "rollouts.jsonl"
    builder = IndexBuilder(path)
    for cut in cuts:
        path.write_bytes(content[:cut])
        builder.update()
        if rng.random() < 0.5:  # another viewer takes over from the disk
            assert builder.save()
            builder = IndexBuilder(path)
            assert builder.load()
    whole = IndexBuilder(good_run / "rollouts.jsonl")
    whole.update()
    assert builder.snapshot().groups.tolist() == whole.snapshot().groups.tolist()
    assert builder.snapshot().sample_ids == whole.snapshot().sample_ids


def test_a_resume_that_takes_rows_away_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    write(path, [completion(step, 0, 0) for step in range(1, 9)])
    builder = IndexBuilder(path)
    builder.update()
    write(path, [completion(step, 0, 0, correct=True) for step in range(1, 5)])
    assert builder.update()
    assert builder.snapshot().groups["step"].tolist() == [1, 2, 3, 4]
    assert builder.snapshot().groups["correct"].tolist() == [1, 1, 1, 1]


def test_rows_written_anew_after_a_resume_replace_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    write(path, [completion(step, 0, 0) for step in range(1, 9)])
    open_index(path)
    kept = path.read_text().splitlines(keepends=True)[:4]
    path.write_text("".join(kept))
    write(path, [completion(step, 0, 0, correct=True) for step in range(5, 12)], mode="a")
    assert open_index(path).groups["correct"].tolist() == [0, 0, 0, 0] + [1] * 7


def test_a_damaged_index_is_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    write(path, [completion(1, 0, 0)])
    for content in (
        b"",
        b"{}\n",
        b'{"version": 1}\nxx',
        b"\xff\xfe",
        b"[]\n",
        b'{"version":1,"covered":"x","mark":0}\n',
    ):
        (tmp_path / NAME).write_bytes(content)
        assert open_index(path).num_groups == 1


def test_an_index_on_disk_is_used_and_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    write(path, [completion(1, 0, 0)])
    open_index(path)
    seen: list[int] = []
    open_index(path, lambda done, size: seen.append(done))
    assert seen == []


def test_a_missing_file_has_an_empty_index(tmp_path: Path) -> None:
    index = open_index(tmp_path / "rollouts.jsonl")
    assert (index.num_groups, index.num_rollouts) == (0, 0)


def test_broken_and_torn_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    write(path, [completion(1, 0, 0)])
    with open(path, "ab") as file:
        file.write(b"nonsense\n\n")
    write(path, [completion(2, 0, 0)], mode="a")
    with open(path, "ab") as file:
        file.write(b'{"step": 3')
    index = open_index(path)
    assert index.groups["step"].tolist() == [1, 2]
    assert index.broken == 1


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (1, 1.0),
        (True, 1.0),
        ("1", None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ([], None),
    ],
)
def test_only_finite_numbers_are_numbers(given: object, wanted: float | None) -> None:
    assert rows.number(given) == wanted


def test_broken_utf8_becomes_replacement_characters() -> None:
    row = rows.parse_line(b'{"text": "a\xff\xfeb"}\n')
    assert row == {"text": "a\ufffd\ufffdb"}


def test_lone_surrogates_become_replacement_characters() -> None:
    assert rows.text("a\ud800b") == "a\ufffdb"
    assert rows.text("\U0001f600") == "\U0001f600"


def test_lines_nested_too_deep_are_no_rows() -> None:
    assert rows.parse_line(b"[" * 100_000) is None
