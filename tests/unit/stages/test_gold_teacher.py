import pytest

from observe_r1.config.run import RunConfig
from observe_r1.config.teach import GoldTeacher, SolverTeacher, TeachStage
from observe_r1.config.traces import TraceSource
from observe_r1.data.puzzles import get_family
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.data.traces import read_traces
from observe_r1.stages.handover import Handover
from observe_r1.stages.teach import run_teach
from observe_r1.text import parse_response


def no_policy():
    raise AssertionError("golds need no model")


@pytest.fixture
def taught(tmp_path):
    stage = TeachStage(teacher=GoldTeacher(), grammar="answer")
    questions = training_stream([get_family("counting")], 11, 10)
    folder = tmp_path / "run" / "1-teach"
    folder.mkdir(parents=True)
    run_teach(stage, teacher_model="", questions=questions, run=folder, policy=no_policy)
    return folder, questions


def test_a_prompt_of_the_stages_own_is_what_the_solvers_traces_answer(tmp_path):
    stage = TeachStage(teacher=SolverTeacher(), system_prompt="Be brief.")
    questions = training_stream([get_family("counting")], 11, 2)
    run_teach(stage, teacher_model="", questions=questions, run=tmp_path, policy=no_policy)
    assert {row.system_prompt for row in read_traces(tmp_path).rows} == {"Be brief."}


def test_golds_are_answers_and_nothing_else(taught):
    folder, questions = taught
    traces = read_traces(folder)
    assert [row.response for row in traces.rows] == [
        f"<answer>{q.answer}</answer>" for q in questions
    ]
    assert all(parse_response(row.response, row.grammar).well_formed for row in traces.rows)
    assert {row.origin for row in traces.rows} == {"gold"}
    assert all(row.correct for row in traces.rows)


@pytest.mark.parametrize(
    ("settings", "expected"), [({"share": 0.5}, 5), ({"share": 0.5, "count": 3}, 3)]
)
def test_a_share_of_a_source(taught, settings, expected):
    folder, _ = taught
    stages = [{"type": "teach", "name": "teach"}, {"type": "sft", "name": "sft"}]
    values = {"recipe": "t", "preset": "full", "model": "tiny", "data": "puzzles", "stages": stages}
    run = RunConfig.build(values, "t")
    source = TraceSource(source="teach", **settings)
    found = Handover(run, folder.parent).traces(source, run.stages[1], no_policy)
    assert len(found) == expected
    again = Handover(run, folder.parent).traces(source, run.stages[1], no_policy)
    assert again.rows == found.rows
