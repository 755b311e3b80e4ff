"""The data commands as a user calls them, without a model: probes are written by the tests."""

import json

import pytest

from observe_r1.cli.main import call
from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.data.store import read_samples
from observe_r1.probe import ProbeConfig, ProbeRow, ProbeStore
from observe_r1.records import read_json, write_json


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def questions(tmp_path):
    """A table of twelve questions, two of which are no good."""
    rows = [{"problem": f"What is {i} + {i} exactly?", "label": str(2 * i)} for i in range(10)]
    rows += [{"problem": "What?", "label": ""}, {"problem": "Who?"}]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_probe(folder, correct: int | None = None) -> None:
    """The k-th sample was solved k times of eight, or all ``correct`` times."""
    with ProbeStore(folder / "probe", ProbeConfig().identity("m")) as store:
        for number, sample in enumerate(read_samples(folder)):
            completions = tuple(
                ProbedCompletion(
                    text="",
                    answer="1",
                    correct=k < (number if correct is None else correct),
                    num_tokens=9,
                    truncated=False,
                )
                for k in range(8)
            )
            store.append(
                [ProbeRow(stage="reasoned", sample_id=sample.id, round=0, completions=completions)]
            )


def test_import_prints_what_became_of_every_row(questions, tmp_path, capsys):
    out = tmp_path / "set"
    columns = ["--column", "question=problem", "--column", "answer=label"]
    assert (
        call(["data", "import", str(questions), "--as", "table", *columns, "--out", str(out)]) == 0
    )
    printed = capsys.readouterr().out
    assert "accepted" in printed and "field missing" in printed and "rows in all" in printed
    assert len(read_samples(out)) == 10
    assert (out / "README.md").exists() and (out / "rejected.jsonl").exists()


def test_import_ladder_and_review_go_hand_in_hand(questions, tmp_path, capsys):
    out, arranged = tmp_path / "set", tmp_path / "ladder"
    columns = ["--column", "question=problem", "--column", "answer=label", "--metadata", "problem"]
    call(["data", "import", str(questions), "--as", "table", *columns, "--out", str(out), "--json"])
    result = last_json(capsys)
    assert result["num_rows"] == 12 == sum(result["rows"].values())
    write_probe(out)
    assert call(["data", "ladder", str(out), "--out", str(arranged), "--json"]) == 0
    result = last_json(capsys)
    assert result["samples"] == len(read_samples(arranged)) == 9
    assert all(s.metadata == {"problem": s.question} for s in read_samples(arranged))
    assert result["outcomes"]["held for review: never solved"] == 1
    assert call(["data", "review", str(out), "--json"]) == 0
    assert last_json(capsys)["questions"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "no/such/place", "--as", "table"], "does not exist"),
        (["import", "{set}", "--as", "mathvison"], "mathvision"),
        (
            ["import", "{set}", "--as", "mathvision", "--column", "question=q"],
            "--column belongs to",
        ),
        (["import", "{set}", "--as", "table", "--column", "question"], "--column question=problem"),
        (["ladder", "{set}"], "data probe"),
        (["ladder", "{set}/missing"], "not a data folder"),
        (["ladder", "{set}", "--mixing", "magic"], "mixing"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(arguments, message, questions, tmp_path, capsys):
    folder = tmp_path / "set"
    columns = ["--column", "question=problem", "--column", "answer=label"]
    call(["data", "import", str(questions), "--as", "table", *columns, "--out", str(folder)])
    capsys.readouterr()
    filled = [argument.replace("{set}", str(folder)) for argument in arguments]
    assert call(["data", *filled, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err


def test_an_occupied_folder_is_not_overwritten_unasked(questions, tmp_path, capsys):
    arguments = ["data", "import", str(questions), "--as", "table", "--column", "question=problem",
                 "--column", "answer=label", "--out", str(tmp_path / "set")]  # fmt: skip
    assert call(arguments) == 0
    assert call(arguments) == 2
    assert "--out" in capsys.readouterr().err
    assert call([*arguments, "--force"]) == 0


def test_a_ladder_of_nothing_is_refused_with_the_table_of_why(questions, tmp_path, capsys):
    out, arranged = tmp_path / "set", tmp_path / "ladder"
    columns = ["--column", "question=problem", "--column", "answer=label"]
    call(["data", "import", str(questions), "--as", "table", *columns, "--out", str(out)])
    write_probe(out, correct=0)
    capsys.readouterr()
    assert call(["data", "ladder", str(out), "--out", str(arranged)]) == 2
    printed = capsys.readouterr()
    assert "held for review: never solved" in printed.out
    assert "data review" in printed.err and "--unsolved keep" in printed.err
    assert not arranged.exists()
    assert call(["data", "ladder", str(out), "--out", str(arranged), "--unsolved", "keep"]) == 0


TABLE = ["--as", "table", "--column", "question=problem", "--column", "answer=label"]
NO_MODEL = ["--model", "./no/model"]  # comes after the import, so that nothing is probed here


def test_build_does_not_take_one_source_for_another(questions, tmp_path, capsys):
    out = tmp_path / "built"
    call(["data", "import", str(questions), *TABLE, "--out", str(out / "samples")])
    capsys.readouterr()
    arguments = ["data", "build", "counting", "--as", "puzzles", "--out", str(out)]
    assert call(arguments) == 2
    assert f"source: {questions} then, counting now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        (["--limit", "4"], [], "limit: 4 then, none now"),
        ([], ["--column", "id=label"], "answer=label, id=label now"),
        ([], ["--images", "pictures"], "images: none then, pictures now"),
        ([], ["--shrink-images-to", "784"], "shrink_images_to: none then, 784 now"),
        ([], ["--against", "mathvista:m.json"], "against: none then, mathvista:m.json now"),
    ],
)
def test_build_names_what_was_imported_otherwise(then, now, told, questions, tmp_path, capsys):
    out = tmp_path / "built"
    build = ["data", "build", str(questions), *TABLE, "--out", str(out), *NO_MODEL]
    assert call([*build, *then]) == 2
    assert "./no/model" in capsys.readouterr().err
    before = len(read_samples(out / "samples"))
    assert call([*build, *now]) == 2
    captured = capsys.readouterr().err
    assert told in captured and "--force" in captured and "./no/model" not in captured
    assert len(read_samples(out / "samples")) == before


def test_an_import_from_before_a_setting_existed_had_its_default(questions, tmp_path, capsys):
    out = tmp_path / "built"
    build = ["data", "build", str(questions), *TABLE, "--out", str(out), *NO_MODEL]
    assert call(build) == 2
    history = read_json(out / "samples" / "ladder.json")
    del history["config"]["shrink_images_to"]
    write_json(out / "samples" / "ladder.json", history)
    capsys.readouterr()
    assert call(build) == 2
    assert "./no/model" in capsys.readouterr().err
    assert call([*build, "--shrink-images-to", "784"]) == 2
    assert "shrink_images_to: none then, 784 now" in capsys.readouterr().err


def test_build_sees_that_a_source_was_edited_and_that_it_was_not(questions, tmp_path, capsys):
    build = ["data", "build", str(questions), *TABLE, "--out", str(tmp_path / "built"), *NO_MODEL]
    assert call(build) == 2
    whole = questions.read_text()
    questions.write_text(whole.replace("What is 3", "What is 9"))
    capsys.readouterr()
    assert call(build) == 2
    assert "content of the source" in capsys.readouterr().err
    questions.write_text(whole)  # at another time, but the same
    assert call(build) == 2
    assert "./no/model" in capsys.readouterr().err
    questions.unlink()  # its samples are all there
    assert call(build) == 2
    assert "./no/model" in capsys.readouterr().err


def test_build_goes_on_in_a_folder_within_its_source(questions, tmp_path, capsys):
    out = tmp_path / "ladder"
    build = ["data", "build", str(tmp_path), *TABLE, "--out", str(out), *NO_MODEL]
    for _ in range(2):  # the second time there are shards below the source
        assert call(build) == 2
        assert "./no/model" in capsys.readouterr().err
    assert len(read_samples(out / "samples")) == 10


def test_build_with_force_imports_anew_and_keeps_no_probe_of_other_samples(
    questions, tmp_path, capsys
):
    samples = tmp_path / "built" / "samples"
    build = ["data", "build", str(questions), *TABLE, "--out", str(tmp_path / "built"), *NO_MODEL]
    call([*build, "--limit", "4"])
    write_probe(samples)
    call([*build, "--limit", "4", "--force"])  # nothing has changed
    assert (samples / "probe").exists() and len(read_samples(samples)) == 4
    call([*build, "--force"])
    assert not (samples / "probe").exists() and len(read_samples(samples)) == 10


def test_build_overwrites_no_data_folder_but_its_own(questions, tmp_path, capsys):
    mine, built = tmp_path / "mine", tmp_path / "built"
    call(["data", "import", str(questions), *TABLE, "--out", str(mine)])
    call(["data", "import", str(questions), *TABLE, "--out", str(built / "samples")])
    write_probe(built / "samples")
    assert call(["data", "ladder", str(built / "samples"), "--out", str(built)]) == 0
    capsys.readouterr()
    build = ["data", "build", str(questions), *TABLE, *NO_MODEL]
    assert call([*build, "--out", str(mine)]) == 2
    told = capsys.readouterr().err
    assert f"{mine} is a data folder that 'data build' has not made" in told and "--force" in told
    assert not (mine / "samples").exists()
    for passed in (["--out", str(mine), "--force"], ["--out", str(built)]):
        assert call([*build, *passed]) == 2
        assert "./no/model" in capsys.readouterr().err


def test_benchmarks_are_named_with_what_could_not_be_compared(questions, tmp_path, capsys):
    benchmark = tmp_path / "mathvista.json"
    rows = [{"pid": "1", "question": "What is 3 + 3 exactly, if one may ask so?", "answer": "6",
             "image": "lost.png"}]  # fmt: skip
    benchmark.write_text(json.dumps(rows))
    out = tmp_path / "set"
    columns = ["--column", "question=problem", "--column", "answer=label"]
    source = [str(questions), "--as", "table", *columns, "--out", str(out)]
    assert call(["data", "import", *source, "--against", f"mathvista:{benchmark}"]) == 0
    printed = capsys.readouterr().out
    assert "1 questions and 0 pictures" in printed and "image missing: 1" in printed
    history = json.loads((out / "ladder.json").read_text())
    assert history["against"] == [f"mathvista:{benchmark}"]
