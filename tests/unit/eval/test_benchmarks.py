"""Published rows → questions, and each benchmark's own rule, on rows written by hand."""

import base64
import io
import json

import pytest
from PIL import Image

from observe_r1.errors import ConfigError, DataError
from observe_r1.eval.benchmarks import BENCHMARKS, get_benchmark
from observe_r1.eval.benchmarks.letters import pick_option
from observe_r1.eval.benchmarks.mathvista import edit_distance
from observe_r1.eval.benchmarks.mmstar import split_listed
from observe_r1.eval.benchmarks.reading import read_benchmark
from observe_r1.eval.benchmarks.scoring import score_official


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (28, 28), "red").save(buffer, format="PNG")
    return buffer.getvalue()


IMAGE = base64.b64encode(png()).decode()

ROWS = {
    "mathvista": {
        "pid": "7", "question": "How long?", "image": IMAGE, "choices": None, "unit": "m",
        "precision": 1.0, "answer": "1.2", "question_type": "free_form", "answer_type": "float",
        "metadata": {"task": "geometry"},
    },
    "mathvision": {
        "id": "6", "question": "Which?\n<image1>", "options": ["A", "B", "C", "D", "E"],
        "image": IMAGE, "answer": "D", "solution": None, "level": 3, "subject": "logic",
    },
    "mathverse": {
        "sample_index": "5", "problem_index": "1", "problem_version": "Vision Only", "question": "",
        "image": IMAGE, "answer": "B", "question_type": "multi-choice",
        "question_for_eval": "The angle is ()\nChoices:\nA:50°\nB:60°", "metadata": {"subject": "Plane"},
    },
    "we_math": {
        "ID": "2steps_1", "split": "testmini", "knowledge concept": "Area", "question": "Area?",
        "option": "A. 6; B. 12; C. No correct answer", "answer": "B", "image_path": IMAGE,
        "key": "2steps_multi", "question number": 12,
    },
    "mmmu": {
        "id": "validation_Art_1", "question": "<image 1> Who?", "options": "['Ann', 'Bob']",
        "image_1": IMAGE, "image_2": None, "answer": "B", "question_type": "multiple-choice",
        "subfield": "Painting",
    },
    "mmstar": {
        "index": 0, "question": "Where?\nOptions: A: on it, B: under it, or near, C: gone",
        "image": IMAGE, "answer": "B", "category": "coarse perception", "l2_category": "x",
    },
    "mmbench": {
        "index": 241, "question": "Which?", "hint": "Look.", "A": "red", "B": "blue", "C": "green",
        "D": None, "answer": "A", "image": IMAGE, "l2-category": "attribute", "category": "color",
    },
}  # fmt: skip


def read(tmp_path, name: str, *rows: dict):
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or (ROWS[name],)))
    return read_benchmark(get_benchmark(name), str(path))


def test_there_is_a_row_for_every_benchmark():
    assert ROWS.keys() == BENCHMARKS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_published_row_becomes_a_question(tmp_path, name):
    reading = read(tmp_path, name)
    assert reading.num_rows == 1
    assert reading.left_out == {}
    assert all(sample.images == (png(),) for sample in reading.samples)
    assert all(sample.source == name for sample in reading.samples)


@pytest.mark.parametrize("name", ROWS)
def test_the_gold_answer_is_right_by_the_own_rule(tmp_path, name):
    benchmark = get_benchmark(name)
    for sample in read(tmp_path, name).samples:
        assert benchmark.is_right(sample, f"<think>so</think><answer>{sample.answer}</answer>")
        assert benchmark.is_right(sample, f"The answer is {sample.answer}")
        if name != "mmmu":  # whose rule guesses
            assert not benchmark.is_right(sample, "")


@pytest.mark.parametrize("name", ROWS)
def test_a_file_without_a_needed_column_is_another_version(tmp_path, name):
    column = get_benchmark(name).columns[-1]
    row = {key: value for key, value in ROWS[name].items() if key != column}
    with pytest.raises(DataError, match=f"has no column {column}"):
        read(tmp_path, name, row)


def test_rows_that_cannot_be_asked_are_counted_not_averaged(tmp_path):
    good = ROWS["mathvision"]
    reading = read(tmp_path, "mathvision", good, {**good, "id": "7", "image": "images/not-there.jpg"},
                   {**good, "id": "8", "answer": ""}, {**good, "id": "6"})  # fmt: skip
    assert reading.num_rows == 4
    assert len(reading.samples) == 1
    assert sum(reading.left_out.values()) == 3
    assert reading.left_out["image missing"] == 1
    assert reading.left_out["id repeated"] == 1


def test_a_file_with_nothing_to_ask_is_refused_with_the_reasons(tmp_path):
    with pytest.raises(DataError, match="none of the 1 rows"):
        read(tmp_path, "mathvision", {**ROWS["mathvision"], "image": "images/not-there.jpg"})


def test_an_unknown_benchmark_names_the_ones_near_it():
    with pytest.raises(ConfigError, match="Did you mean mathvista"):
        get_benchmark("mathvist")


def predictions(samples, texts):
    return [{"sample_id": s.id, "text": text} for s, text in zip(samples, texts, strict=True)]


def test_mathvista_rounds_to_the_precision_of_the_question(tmp_path):
    benchmark = get_benchmark("mathvista")
    (sample,) = read(tmp_path, "mathvista").samples
    assert sample.question == "How long? (Unit: m)"
    assert benchmark.is_right(sample, "<answer>1.23</answer>")
    assert not benchmark.is_right(sample, "<answer>1.3</answer>")
    assert not benchmark.is_right(sample, "<answer>a metre</answer>")


def test_mathvista_takes_the_nearest_option(tmp_path):
    row = {**ROWS["mathvista"], "choices": ["a red cube", "a blue ball"], "answer": "a red cube",
           "answer_type": "text", "precision": None}  # fmt: skip
    (sample,) = read(tmp_path, "mathvista", row).samples
    assert sample.answer == "A"
    assert get_benchmark("mathvista").is_right(sample, "<answer>red cubes</answer>")
    assert not get_benchmark("mathvista").is_right(sample, "<answer>(B)</answer>")


def test_edit_distance_by_hand():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3


def test_mathvision_compares_numbers_and_formulas_as_written(tmp_path):
    row = {**ROWS["mathvision"], "options": [], "answer": "\\frac{1}{2}"}
    (sample,) = read(tmp_path, "mathvision", row).samples
    is_right = get_benchmark("mathvision").is_right
    assert is_right(sample, "so \\boxed{\\dfrac{1}{2}}")
    assert not is_right(sample, "<answer>0.5</answer>")  # equal, but not by the published rule
    (number,) = read(tmp_path, "mathvision", {**row, "answer": "1000"}).samples
    assert is_right(number, "<answer>1,000.0</answer>")


def test_mathverse_asks_for_the_question_in_the_picture(tmp_path):
    (sample,) = read(tmp_path, "mathverse").samples
    assert "in the picture" in sample.question
    assert sample.options == ("50°", "60°")
    official = score_official(get_benchmark("mathverse"), [sample], predictions([sample], ["B"]))
    assert official.parts == {"Vision Only": 1.0}
    assert "not official" in official.rule


def test_a_judge_replaces_the_rule_only_where_one_is_asked_for(tmp_path):
    says_yes = lambda asked: [True] * len(asked)  # noqa: E731
    (vista,) = read(tmp_path, "mathvista").samples
    official = score_official(
        get_benchmark("mathvista"), [vista], predictions([vista], ["x"]), says_yes
    )
    assert (official.figure, official.rule) == (1.0, "official rule with a judge")
    (vision,) = read(tmp_path, "mathvision").samples
    official = score_official(
        get_benchmark("mathvision"), [vision], predictions([vision], ["x"]), says_yes
    )
    assert (official.figure, official.rule) == (0.0, "official rule")


def we_math_rows():
    return [
        {**ROWS["we_math"], "ID": f"2steps_{problem}", "key": key, "question number": number}
        for problem in (1, 2, 3, 4)
        for number, key in enumerate(("2steps_multi", "2steps_1", "2steps_2"))
    ]


def test_we_math_judges_a_problem_with_its_steps(tmp_path):
    benchmark = get_benchmark("we_math")
    samples = read(tmp_path, "we_math", *we_math_rows()).samples
    right = {  # composite, step 1, step 2
        "2steps_1": (True, True, True), "2steps_2": (False, True, True),
        "2steps_3": (True, False, True), "2steps_4": (False, False, True),
    }  # fmt: skip
    texts = []
    for sample in samples:
        place = ("2steps_multi", "2steps_1", "2steps_2").index(sample.metadata["key"])
        texts.append("B" if right[sample.metadata["problem"]][place] else "A")
    official = score_official(benchmark, samples, predictions(samples, texts))
    assert official.figure == pytest.approx((1 + 0.5) / 4)  # one mastered, one not generalised
    assert official.parts["loose figure"] == pytest.approx((2 + 0.5) / 4)
    assert official.parts["rote memorisation"] == pytest.approx(1 / 4)
    assert official.parts["composite problems"] == 4.0


def test_we_math_leaves_out_problems_without_all_their_steps(tmp_path):
    samples = read(tmp_path, "we_math", *we_math_rows()[:2]).samples
    official = score_official(get_benchmark("we_math"), samples, predictions(samples, ["B", "B"]))
    assert official.figure is None


def test_mmmu_open_answers_and_guesses_that_repeat(tmp_path):
    row = {**ROWS["mmmu"], "question_type": "open", "options": "[]", "answer": "['24/7', '3.429']"}
    (sample,) = read(tmp_path, "mmmu", row).samples
    is_right = get_benchmark("mmmu").is_right
    assert is_right(sample, "about 3.43 in all")
    assert is_right(sample, "it is 24/7")
    assert not is_right(sample, "it is 2")
    (choice,) = read(tmp_path, "mmmu").samples
    assert len({is_right(choice, "hm") for _ in range(5)}) == 1


def test_mmstar_options_with_commas_stay_whole():
    assert split_listed("A: on it, B: under it, or near, C: gone") == (
        "on it",
        "under it, or near",
        "gone",
    )
    assert split_listed("no options here") == ()


def test_mmbench_asks_every_turn_and_counts_only_all_of_them(tmp_path):
    benchmark = get_benchmark("mmbench")
    samples = read(tmp_path, "mmbench").samples
    assert [s.options for s in samples] == [
        ("red", "blue", "green"), ("blue", "green", "red"), ("green", "red", "blue"),
    ]  # fmt: skip
    assert [s.answer for s in samples] == ["A", "C", "B"]
    assert samples[0].question == "Look.\nWhich?"
    always_a = score_official(benchmark, samples, predictions(samples, ["A", "A", "A"]))
    assert always_a.figure == 0.0
    assert always_a.parts["every turn by itself"] == pytest.approx(1 / 3)
    sees_red = score_official(benchmark, samples, predictions(samples, ["A", "C", "B"]))
    assert sees_red.figure == 1.0


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("B", "B"),
        ("(c)", None),
        ("The answer is (B).", "B"),
        ("B. blue", "B"),
        ("A blue ball", "B"),  # the article is no option; the text names one
        ("first (A), no, (B)", "B"),
        ("it is red", "A"),
        ("red or blue", None),
        ("E", None),
        ("", None),
    ],
)
def test_which_option_a_text_picks(text, picked):
    assert pick_option(text, ["red", "blue"]) == picked


def test_the_real_mathvision_questions_are_all_read(real_questions):
    reading = read_benchmark(get_benchmark("mathvision"), str(real_questions))
    assert reading.num_rows == len(reading.samples) + sum(reading.left_out.values())
    assert reading.num_rows >= 300
    assert reading.left_out == {}
