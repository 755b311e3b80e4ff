"""Each adapter on rows of the shape its source documents; the rows are made up."""

import io
import json
from dataclasses import replace

import pytest

from observe_r1.data.importing import import_rows
from observe_r1.data.sources import ADAPTERS, get_adapter, json_values
from observe_r1.data.sources.base import BadRow, final_answer, split_options
from observe_r1.data.sources.files import FoundRow, find_rows
from observe_r1.data.sources.json_values import JsonValues
from observe_r1.data.sources.table import table_adapter
from observe_r1.data.store import read_samples
from observe_r1.errors import ConfigError, DataError

PICTURE = {"bytes": b"png", "path": None}

ROWS = {
    "mathvision": (
        {"id": "6", "question": "Which kitten?\n<image1>", "options": ["A", "B", "C"],
         "image": "images/6.jpg", "answer": "B", "level": 3, "subject": "logic"},
        {"id": "6", "question": "Which kitten?\n<image>", "answer": "B", "kind": "choice",
         "images": ("images/6.jpg",), "options": ("A", "B", "C"), "family": "logic"},
    ),
    "mathvista": (
        {"pid": "1", "question": "How much work?", "image": "images/1.jpg", "choices": None,
         "unit": "J", "precision": 1.0, "answer": "1.2", "question_type": "free_form",
         "metadata": {"task": "physics"}},
        {"id": "1", "question": "How much work? (Unit: J)", "answer": "1.2", "kind": None,
         "images": ("images/1.jpg",), "family": "physics"},
    ),
    "mathverse": (
        {"sample_index": "1", "problem_version": "Text Dominant", "image": "a.png", "answer": "B",
         "question": "The angle is ()\nChoices:\nA:50°\nB:60°\nC:70°", "question_type": "multi-choice",
         "metadata": {"subject": "Plane Geometry"}},
        {"question": "The angle is ()", "options": ("50°", "60°", "70°"), "kind": "choice",
         "family": "Plane Geometry"},
    ),
    "we_math": (
        {"ID": "3steps_1", "question": "Area (  ) m²?", "answer": "B", "image_path": "i.png",
         "option": "A. 200.96;B. 32.15;C. 62;D. 32; E. No correct answer", "key": "3steps_3",
         "question number": 7, "knowledge concept": "Area"},
        {"options": ("200.96", "32.15", "62", "32", "No correct answer"), "answer": "B",
         "id": "3steps_1-3steps_3-7", "images": ("i.png",), "family": "Area"},
    ),
    "polymath": (
        {"image": {"bytes": b"png", "path": "test/u_q42.png"}, "category": "pattern_recognition",
         "final_answer": "2", "final_answer_range": "1-4", "answer_option": None},
        {"options": ("1", "2", "3", "4"), "images": ({"bytes": b"png", "path": "test/u_q42.png"},),
         "answer": "2", "kind": "choice", "family": "pattern_recognition", "id": "u_q42"},
    ),
    "scemqa": (
        {"Question": "Where?\n\nA. a\nB. b", "Answer (final answer highlighted)": "B. because",
         "ImagePath": "Math/1", "subject": "Math", "number": 1},
        {"id": "Math-1", "question": "Where?", "options": ("a", "b"), "answer": "B",
         "images": ("Math/1",), "family": "Math"},
    ),
    "mathv360k": (
        {"id": "identity_0", "image": "TabMWP/1.png", "conversations": [
            {"from": "human", "value": "<image>\nHint: Give the letter at the end.\nQuestion: "
             "Which?\nChoices:\n(A) 2\n(B) 3"},
            {"from": "gpt", "value": "The answer is B"}]},
        {"question": "<image>\nWhich?", "options": ("2", "3"), "answer": "B", "family": "TabMWP",
         "id": None},
    ),
    "geometry3k": (
        {"id": 2401, "problem_text": "Find x.", "choices": ["5", "12"], "answer": "B",
         "problem_type_graph": ["Triangle"]},
        {"id": "2401", "options": ("5", "12"), "images": ("img_diagram.png",), "family": "Triangle"},
    ),
    "mmmu": (
        {"id": "v_1", "question": "<image 1> Which?", "options": "['$6', '<image 2>']",
         "answer": "B", "image_1": PICTURE, "image_2": PICTURE, "image_3": None,
         "question_type": "multiple-choice", "subfield": "Accounting"},
        {"options": ("$6", "<image 2>"), "images": (PICTURE, PICTURE), "family": "Accounting"},
    ),
    "ladder": (
        {"id": "p-1", "question": "How many?", "images": [PICTURE], "answer": "3", "kind": "number",
         "options": [], "source": "puzzles", "family": "counting", "level": 3, "solve_rate": 0.6},
        {"id": "p-1", "kind": "number", "source": "puzzles",
         "measured": {"level": 3, "solve_rate": 0.6}},
    ),
    "table": (
        {"pid": 4, "problem": "Find x.", "choices": "{'A': '3', 'B': '4'}", "label": "B",
         "image": "a.png;b.png"},
        {"id": "4", "question": "Find x.", "options": ("3", "4"), "images": ("a.png", "b.png")},
    ),
    "observe_r1_jsonl": (
        {"answer": "$3$", "message": json.dumps([
            {"role": "system", "content": "Observe."},
            {"role": "user", "content": [{"type": "image", "image": "file:///d/1.png"},
                                         {"type": "text", "text": "Find x."}]}])},
        {"question": "<image>Find x.", "answer": "$3$", "images": ("file:///d/1.png",)},
    ),
    "sharegpt": (
        {"id": "7", "images": ["a.png"], "messages": [
            {"role": "user", "content": "<image>How many?"},
            {"role": "assistant", "content": "Two.\nAnswer: 2"}]},
        {"question": "<image>How many?", "answer": "2", "images": ("a.png",)},
    ),
    "trl": (
        {"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}],
         "images": [PICTURE], "solution": "<answer> 3 </answer>"},
        {"question": "<image>?", "answer": "3", "images": (PICTURE,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_puts_every_field_in_its_place(name):
    row, expected = ROWS[name]
    raw = get_adapter(name).read(row)
    assert {field: getattr(raw, field) for field in expected} == expected


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_rejects_a_row_without_its_fields_by_reason(name):
    with pytest.raises(BadRow):
        get_adapter(name).read({"unrelated": 1})


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_says_where_its_format_is_described_and_how_it_was_checked(name):
    adapter = get_adapter(name)
    assert adapter.reference.startswith(("https://", "docs/"))
    assert adapter.status in ("checked on real files", "from documentation")


def test_an_unknown_adapter_lists_the_known_ones():
    with pytest.raises(ConfigError, match="mathvision"):
        get_adapter("mathvison")


def test_mathvision_takes_the_markers_of_parts_of_its_one_picture_out():
    row = {"id": "1", "question": "The ant <image1> goes to <image2>. Where?\n<image3>",
           "options": ["<image4>", "<image5>"], "image": "1.jpg", "answer": "B"}  # fmt: skip
    raw = get_adapter("mathvision").read(row)
    assert raw.question == "The ant (picture 1) goes to (picture 2). Where?"
    assert raw.options == ("A", "B")


@pytest.mark.parametrize(
    ("written", "answer", "labels"),
    [
        ("1-4", "2", ("1", "2", "3", "4")),
        ("1,2,3,4,5", "5", ("1", "2", "3", "4", "5")),
        ("[A-D]", "c", ("A", "B", "C", "D")),
        ("", "3", ("1", "2", "3", "4")),
        (None, "b", ("A", "B", "C", "D")),
    ],
)
def test_polymath_takes_the_labels_that_are_printed_in_the_picture(written, answer, labels):
    row = {"image": PICTURE, "final_answer": answer, "final_answer_range": written}
    raw = get_adapter("polymath").read(row)
    assert raw.options == labels and raw.answer == answer.upper()


def test_polymath_rejects_questions_with_several_right_options():
    row = {"image": PICTURE, "final_answer": "[1,3]", "final_answer_range": "1-4"}
    with pytest.raises(BadRow, match="several options are right"):
        get_adapter("polymath").read(row)


def test_mathverse_asks_in_words_where_the_question_is_only_in_the_picture():
    row = {"sample_index": "5", "problem_version": "Vision Only", "question": "", "answer": "B",
           "question_for_eval": "Angle?\nChoices:\nA:50°\nB:60°", "image": PICTURE,
           "question_type": "multi-choice", "metadata": {}}  # fmt: skip
    raw = get_adapter("mathverse").read(row)
    assert "in the picture" in raw.question and raw.options == ("50°", "60°")


def test_mmmu_reads_literals_and_nothing_else():
    row = {"id": "1", "question": "?", "answer": "A", "options": "[__import__('os').getcwd()]"}
    with pytest.raises(BadRow, match="options cannot be read"):
        get_adapter("mmmu").read(row)


def test_scemqa_rows_come_with_their_subject_and_a_highlighted_answer():
    adapter = get_adapter("scemqa")
    content = {"Math": [{"Question": "Significant?", "ImagePath": "Math_Free_Response/14",
                         "Answer (final answer highlighted)": "\\answer{No} since 5 < 6."}]}  # fmt: skip
    (row,) = adapter.records(content)
    assert adapter.read(row).answer == "No"


def test_a_chat_of_several_questions_is_rejected():
    turns = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "1"}] * 2
    with pytest.raises(BadRow, match="not one question"):
        get_adapter("sharegpt").read({"conversations": turns})


def test_a_column_mapping_names_only_what_a_sample_has():
    adapter = table_adapter({"question": "q", "answer": "a"})
    assert adapter.read({"q": "Find x.", "a": 3.0}).answer == "3"
    with pytest.raises(ConfigError, match="answr"):
        table_adapter({"answr": "a"})


def test_a_column_may_say_how_answers_are_checked():
    adapter = table_adapter({"kind": "type"})
    row = {"question": "Where?", "answer": "3, 4", "kind": "not this column"}
    assert adapter.read(row).kind is None
    assert adapter.read(row | {"type": "point"}).kind == "point"
    with pytest.raises(BadRow, match="kind 'place' is none of number, "):
        adapter.read(row | {"type": "place"})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{\\frac{1}{2}} it is", "\\frac{1}{2}"),
        ("<think>a</think><answer> 3 </answer>", "3"),
        ("work\n#### 42", "42"),
        ("The final answer is: 7.", "7"),
        ("12", "12"),
    ],
)
def test_the_final_answer_of_a_worked_solution_is_found(text, answer):
    assert final_answer(text) == answer


def test_options_in_the_text_are_split_off_only_when_they_run_from_a():
    assert split_options("Which?\nChoices:\n(A) x\n(B) y") == ("Which?", ("x", "y"))
    assert split_options("A. is a letter here") == ("A. is a letter here", ())
    assert split_options("Which?\nB. x\nC. y")[1] == ()


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def rows(path, records=None):
    return [(f.place, f.values if isinstance(f.values, dict) else f.values.reason)
            for f in find_rows(path, records)]  # fmt: skip


def test_a_broken_line_costs_its_row_and_no_other(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": 1}\n{"a": \n\n[3]\n{"a": 2}')
    found = rows(path)
    assert found[0] == ("a.jsonl:1", {"a": 1}) and found[3] == ("a.jsonl:5", {"a": 2})
    assert [what for _, what in found[1:3]] == ["row cannot be read"] * 2


def test_a_broken_list_gives_every_object_that_can_be_read(tmp_path):
    path = write(tmp_path, "a.json", '[\n{"a": 1},\n{"a": oops},\n{"a": 2},\n{"a": 3}\n')
    assert [what for _, what in rows(path)] == [
        {"a": 1}, "row cannot be read", {"a": 2}, {"a": 3},
    ]  # fmt: skip


def test_lists_and_rows_under_ids_are_read(tmp_path):
    assert rows(write(tmp_path, "a.json", '[{"a": 1}, {"a": 2}]'))[1] == ("a.json:2", {"a": 2})
    assert rows(write(tmp_path, "b.json", '{"x": {"a": 1}, "y": {"a": 2}}'))[1][1] == {"a": 2}


def test_csv_cells_may_hold_lines_and_a_row_too_long_is_rejected(tmp_path):
    path = write(tmp_path, "a.csv", 'q,a\n"one\ntwo",1\nx,1,2\ny,\n')
    assert [what for _, what in rows(path)] == [
        {"q": "one\ntwo", "a": "1"}, "row cannot be read", {"q": "y", "a": None},
    ]  # fmt: skip


def test_a_truncated_parquet_is_one_bad_row_and_the_other_files_are_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("a", "b"):
        pq.write_table(pa.table({"n": list(range(10))}), tmp_path / f"{name}.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    found = rows(tmp_path)
    assert found[0] == ("a.parquet:1", "file cannot be read")
    assert len(found) == 11


def test_a_folder_of_save_to_disk_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"question": ["a", "b"]}).save_to_disk(str(tmp_path / "set"))
    assert [what for _, what in rows(tmp_path / "set")] == [{"question": "a"}, {"question": "b"}]


def test_a_folder_without_data_and_an_unknown_ending_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no data file"):
        list(find_rows(tmp_path))
    with pytest.raises(DataError, match="unknown"):
        list(find_rows(write(tmp_path, "a.xlsx", "")))


def test_json_is_read_through_a_window_as_if_it_were_whole(monkeypatch):
    """Whatever the window cuts apart: numbers, words, escapes, strings, nested lists."""
    items = [{"a": 1234567, "b": [True, None, -1.5e-7]}, {"c": 'q"\\ \u00e9 \n', "d": {}}, 12345,
             {"long": "x" * 200}, "text", [[]], {}]  # fmt: skip
    texts = [json.dumps(items), json.dumps(items, indent=2), json.dumps(items, ensure_ascii=False)]
    texts += ["\n".join(map(json.dumps, items)), " ".join(map(json.dumps, items)) + "\n\n"]
    for window in (1, 2, 3, 7, 64):
        monkeypatch.setattr(json_values, "_WINDOW", window)
        for text in texts:
            assert list(JsonValues(io.StringIO(text))) == items


def test_a_long_list_does_not_stay_in_memory(tmp_path):
    """40 MB of rows; decoded whole they would take as much again."""
    import tracemalloc

    path = tmp_path / "a.json"
    with open(path, "w") as file:
        file.write("[")
        for number in range(400):
            file.write(("," if number else "") + json.dumps({"n": number, "image": "x" * 100_000}))
        file.write("]")
    tracemalloc.start()
    count = sum(1 for _ in find_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400 and peak < 10_000_000


@pytest.mark.parametrize("text", ["null", "3", "[1, 2]", '"x"', "[" * 50_000, "{]", "\ufeff[1]"])
def test_a_json_file_that_holds_no_rows_is_bad_rows(text, tmp_path):
    found = rows(write(tmp_path, "a.json", text))
    assert found and {what for _, what in found} == {"row cannot be read"}


def test_files_of_other_byte_orders_and_marks_are_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf[{"a": 1}]')
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 2}')
    (tmp_path / "c.jsonl").write_bytes(json.dumps({"a": 3}).encode("utf-16"))
    assert [what for _, what in rows(tmp_path)] == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_damaged_row_group_costs_its_own_rows_and_each_is_accounted_for(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    texts = [f"{number} {'words ' * 9}" for number in range(30)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=10, use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    whole = bytearray(path.read_bytes())
    start, size = column.data_page_offset, column.total_compressed_size
    whole[start : start + size] = b"\xff" * size
    path.write_bytes(whole)
    found = rows(path)
    assert [place for place, _ in found] == [f"a.parquet:{number}" for number in range(1, 31)]
    expected = [{"text": text} for text in texts]
    expected[10:20] = ["row cannot be read"] * 10
    assert [what for _, what in found] == expected


def test_text_in_another_encoding_costs_its_row(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array([b"a", b"caf\xe9", b"c"]).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert [what for _, what in rows(tmp_path)] == [
        {"text": "a"}, "row cannot be read", {"text": "c"},
    ]  # fmt: skip


ODD_VALUES = (
    None, 3, -1.5, float("nan"), float("inf"), True, "", "x", "[", "{}", "[1, 2]", "[3]", "3", "null",
    '{"role": 1}', [], ["x"], [1], [None], [[1]], {}, {"a": 1}, [{"role": "user"}], b"\x00\xff",
    [{"role": "user", "content": 3}], [{"type": "text"}], {"bytes": 3, "path": 4},
    [{"from": "human", "value": "?"}, {"from": "gpt", "value": 3}], {"url": {"url": 1}}, "a\x00b",
)  # fmt: skip


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_field_of_any_shape_costs_at_most_its_row(name, tmp_path):
    row, _ = ROWS[name]
    odd = [row | {field: value} for field in row for value in ODD_VALUES]
    good = {"id": "good", "question": "How many are there?", "answer": "3", "kind": "number"}
    found = [FoundRow(f"r:{number}", values, ()) for number, values in enumerate(odd)]
    adapter = get_adapter(name)
    read_all = replace(adapter, read=lambda r: (
        get_adapter("ladder").read(r) if r is good else adapter.read(r)))  # fmt: skip
    report = import_rows([*found, FoundRow("r:last", good, ())], read_all, tmp_path)
    assert report.num_rows == len(odd) + 1 == report.accepted + sum(report.rejected.values())
    assert read_samples(tmp_path)[-1].question == "How many are there?"


def test_parts_of_a_scemqa_file_that_are_no_questions_are_counted(tmp_path):
    good = {"Question": "2 + 2?", "Answer (final answer highlighted)": "4"}
    path = write(tmp_path, "a.json", json.dumps({"Math": 3, "Physics": ["x", good]}))
    found = rows(path, get_adapter("scemqa").records)
    assert [what for _, what in found[:2]] == ["row cannot be read"] * 2
    assert found[2][1] == good | {"subject": "Physics", "number": 2}
