from dataclasses import replace

from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.data.transforms.apply import transform_traces
from observe_r1.data.transforms.bridge import Bridge
from observe_r1.data.transforms.difficulty_prefix import DifficultyPrefix
from observe_r1.data.transforms.reflection import Reflection
from observe_r1.data.transforms.repair_format import RepairFormat
from observe_r1.data.transforms.thought_dropout import ThoughtDropout
from observe_r1.types import Sample

RIGHT = TraceRow(
    sample_id="q", response="<think>1 + 2 = 3</think>\n<answer>3</answer>", grammar="think_answer",
    correct=True, num_tokens=9, perplexity=1.2, solve_rate=0.25,
)  # fmt: skip
WRONG = replace(RIGHT, response="<think>2</think>\n<answer>2</answer>", correct=False)
SAMPLE = Sample(id="q", question="?", answer="3", kind="number", solve_rate=0.75)


def traces(*rows: TraceRow) -> TraceSet:
    return TraceSet(rows, {"q": SAMPLE})


def test_rows_are_rewritten_and_say_so():
    told = transform_traces(traces(RIGHT), [DifficultyPrefix()])
    (row,) = told.traces.rows
    assert row.response.startswith("<difficulty>hard")  # a quarter of the answers were right
    assert row.grammar == "difficulty_think_answer"
    assert row.transforms == ("difficulty_prefix",)
    assert (row.num_tokens, row.perplexity) == (None, None)  # of the text it was before
    assert told.left_out == {}


def test_what_is_known_of_the_difficulty_best_counts():
    easy = replace(RIGHT, difficulty=0.1)
    (row,) = transform_traces(traces(easy), [DifficultyPrefix()]).traces.rows
    assert row.response.startswith("<difficulty>easy")
    unknown = replace(RIGHT, solve_rate=None)  # then the probe of the question
    (row,) = transform_traces(traces(unknown), [DifficultyPrefix()]).traces.rows
    assert row.response.startswith("<difficulty>easy")


def test_wrong_answers_to_the_same_question_are_the_wrong_paths():
    told = transform_traces(traces(RIGHT, WRONG), [Reflection()])
    (row,) = told.traces.rows
    assert row.response.startswith("<think>2. Wait, let me look again: 1 + 2 = 3")
    assert told.left_out == {"reflection": 1}  # the wrong one is no lesson


def test_rows_that_nothing_changed_stay_as_they_are():
    (row,) = transform_traces(traces(RIGHT), [ThoughtDropout(share=0.0)]).traces.rows
    assert row is RIGHT
    assert transform_traces(traces(RIGHT), []).traces.rows == (RIGHT,)


def test_a_cut_off_response_that_was_mended_has_an_end():
    unclosed = "<think>1 + 2 = 3</think>\nThe answer is 3"
    cut = replace(RIGHT, response=unclosed, truncated=True)
    (row,) = transform_traces(traces(cut), [RepairFormat()]).traces.rows
    assert row.response.endswith("<answer>3</answer>") and not row.truncated
    still = replace(RIGHT, response="<think>The caption says 1 + 2 = 3", truncated=True)
    (row,) = transform_traces(traces(still), [Bridge()]).traces.rows
    assert row.response == "<think>The picture shows 1 + 2 = 3" and row.truncated


def test_equal_traces_draw_their_own_random_numbers():
    told = transform_traces(traces(*[RIGHT] * 40), [ThoughtDropout()])
    assert len({row.response for row in told.traces.rows}) == 2
