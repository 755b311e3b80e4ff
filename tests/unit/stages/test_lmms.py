"""Tasks of lmms-eval's: what is asked and kept, without it; and with it, where it is installed."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "end_to_end"))

from judge_server import models

from observe_r1.cli.main import call
from observe_r1.config.evaluation import Evaluation
from observe_r1.config.rollout import Sampling
from observe_r1.errors import DataError, EngineError
from observe_r1.stages.engines import engine_config, open_engine
from observe_r1.stages.lmms import Answers, Request, encode_visual, task_sampling
from observe_r1.types import Completion, RolloutGroup

TAGGED = "<observe>two dots</observe><think>so\n\nthree or two</think><answer>2</answer>"
OWN = Sampling(temperature=0.9, max_new_tokens=64)


def request(number: int, **changes: object) -> Request:
    values = {"question": f"How many? {number}", "images": (), "sampling": OWN.greedy(), **changes}
    return Request(id=f"task-test-{number}", **values)  # type: ignore[arg-type]


def test_the_stated_answer_is_scored_and_the_whole_response_kept(tmp_path):
    path = tmp_path / "task" / "answers.jsonl"
    with (
        models(TAGGED) as server,
        open_engine("policy", engine_config("", "policy", [server.url])) as engine,
    ):
        settings = Evaluation(name="task", batch_size=2)
        asked = [request(n) for n in range(3)]
        found = Answers(engine, settings, path).answer(asked)
        assert [found[one.key] for one in asked] == ["2", "2", "2"]
        more = [*asked, request(3), request(0, question="Another version of it?")]
        assert len(Answers(engine, settings, path).answer(more)) == 5
        assert len(server.asked_policy) == 5  # nothing twice
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 5
    assert all(row["text"] == TAGGED and row["well_formed"] for row in rows)


def test_answers_of_another_model_or_to_another_prompt_are_asked_anew(tmp_path):
    path = tmp_path / "answers.jsonl"
    with (
        models(TAGGED) as server,
        open_engine("policy", engine_config("", "policy", [server.url])) as engine,
    ):
        settings = Evaluation(name="task")
        other = settings.model_copy(update={"system_prompt": "Be brief."})
        for model, how in (("a", settings), ("b", settings), ("a", other), ("a", settings)):
            assert list(Answers(engine, how, path, model).answer([request(0)]).values()) == ["2"]
        assert len(server.asked_policy) == 3  # the last was known
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["model"] for row in rows] == ["a", "b", "a"]


def test_a_refused_question_of_a_task_costs_no_answer_to_another_one(tmp_path):
    class Refusing:
        calls = 0

        def generate(self, samples_P, **settings):
            self.calls += 1
            return [
                RolloutGroup(sample=s, completions_G=(), refused="too long.")
                if s.id == "task-test-1"
                else RolloutGroup(sample=s, completions_G=(Completion(text=TAGGED),))
                for s in samples_P
            ]

    engine, path = Refusing(), tmp_path / "answers.jsonl"
    answers = Answers(engine, Evaluation(name="task", batch_size=4), path)
    with pytest.raises(EngineError, match=r"refused a question of the task: too long\."):
        answers.answer([request(n) for n in range(4)])
    assert len(answers.answer([request(n) for n in (0, 2, 3)])) == 3
    assert engine.calls == 1, "they had been paid for"


def test_a_response_without_tags_is_scored_as_it_is(tmp_path):
    with (
        models("B") as server,
        open_engine("policy", engine_config("", "policy", [server.url])) as engine,
    ):
        found = Answers(engine, Evaluation(name="task"), tmp_path / "a.jsonl").answer([request(0)])
    assert list(found.values()) == ["B"]


def test_a_task_says_how_answers_are_drawn():
    asked = {"max_new_tokens": 1024, "temperature": 0, "until": ["\n\n"]}
    assert task_sampling(asked, OWN, None) == OWN.greedy().model_copy(
        update={"max_new_tokens": 1024}
    )
    assert task_sampling(asked, OWN, 16).max_new_tokens == 16
    assert task_sampling({}, OWN, None).is_greedy
    drawn = task_sampling({"do_sample": True, "temperature": 0.7, "top_p": 0.9}, OWN, None)
    assert (drawn.temperature, drawn.top_p, drawn.max_new_tokens) == (0.7, 0.9, 64)
    assert drawn.stop == ()  # an empty line does not end our answers


def test_only_pictures_can_be_seen(tmp_path):
    Image.new("RGBA", (28, 28), "red").save(tmp_path / "a.png")
    assert encode_visual(str(tmp_path / "a.png"), "t")[:4] == b"\x89PNG"
    assert encode_visual(Image.new("L", (9, 9)), "t")[:4] == b"\x89PNG"
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(DataError, match="no picture"):
        encode_visual(str(tmp_path / "a.mp4"), "t")
    with pytest.raises(DataError, match="only pictures"):
        encode_visual({"array": [0.0]}, "t")


def test_without_the_extra_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    status = call(["eval", "tiny", "--benchmark", "lmms:mmstar", "--out", str(tmp_path / "out")])
    assert status == 2
    assert "pip install 'observe-r1[eval]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


TASK = """
task: dots
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: question
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 8, temperature: 0, until: ["\\n\\n"]}}
process_results: !function utils.score
metric_list: [{{metric: exact, aggregation: mean, higher_is_better: true}}]
"""
UTILS = """
def visual(doc):
    return [doc["image"].convert("RGB")]


def score(doc, results):
    return {"exact": float(results[0].strip() == doc["answer"])}
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a large library's own
def test_lmms_eval_itself_asks_and_scores(tmp_path, capsys):
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: the extra 'eval'")
    import datasets

    features = datasets.Features(
        {"question": datasets.Value("string"), "answer": datasets.Value("string"),
         "image": datasets.Image()}
    )  # fmt: skip
    rows = [
        {
            "question": f"How many? {n}",
            "answer": str(2 + n % 2),
            "image": Image.new("RGB", (56, 56)),
        }
        for n in range(4)
    ]
    data = tmp_path / "data.parquet"
    datasets.Dataset.from_list(rows, features=features).to_parquet(str(data))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "dots.yaml").write_text(TASK.format(data=data))
    (tmp_path / "tasks" / "utils.py").write_text(UTILS)
    with models(TAGGED) as server:
        arguments = [
            "eval",
            "policy",
            "--endpoint",
            server.url,
            "--source",
            str(tmp_path / "tasks"),
        ]
        out = ["--out", str(tmp_path / "out"), "--json"]
        assert call([*arguments, "--benchmark", "lmms:dots", *out]) == 0
        assert len(server.asked_policy) == 4
        assert call([*arguments, "--benchmark", "lmms:no_such_task", *out]) == 2
    captured = capsys.readouterr()
    result = json.loads([line for line in captured.out.splitlines() if line.startswith("{")][-1])
    assert result["lmms"]["results"]["dots"]["exact,none"] == 0.5
    assert "lmms-eval has no task 'no_such_task'" in captured.err


def test_lmms_eval_finds_the_model_by_name():
    registry = pytest.importorskip("lmms_eval.models.registry_v2")
    from observe_r1.stages.lmms import manifest

    known = registry.ModelRegistryV2()
    known.register_manifest(manifest())
    assert known.list_model_names() == ["observe_r1"]
