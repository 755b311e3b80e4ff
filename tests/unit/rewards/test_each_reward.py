"""Every reward on values worked out by hand."""

import pytest
from attempts import RIGHT, WRONG, attempt
from pydantic import ValidationError

from observe_r1.rewards.accuracy import Accuracy
from observe_r1.rewards.format import Format
from observe_r1.rewards.ladder import Ladder
from observe_r1.rewards.length import CosineLength, Finished, SoftOverlong
from observe_r1.rewards.overlap import BoxOverlap, IntervalOverlap, PointWithin
from observe_r1.rewards.repetition import Repetition
from observe_r1.rewards.structure import ParallelBlocks, ParallelTiers, ToolCalls


def test_accuracy_is_what_the_grader_says() -> None:
    assert Accuracy()(attempt(RIGHT)) == 1.0
    assert Accuracy(wrong=-1.0)(attempt(WRONG)) == -1.0


def test_format_is_all_or_nothing_or_the_share_that_is_right() -> None:
    halfway = attempt("<think>so</think>")
    assert Format()(attempt(WRONG)) == 1.0 and Format()(halfway) == 0.0
    assert Format(mode="graded")(halfway) == pytest.approx(1 / 3)


def test_cosine_length_prefers_short_right_and_long_wrong_answers() -> None:
    reward = CosineLength(max_tokens=100)
    assert reward(attempt(RIGHT, num_tokens=0)) == pytest.approx(1.0)
    assert reward(attempt(RIGHT, num_tokens=50)) == pytest.approx(0.75)
    assert reward(attempt(RIGHT, num_tokens=100)) == pytest.approx(0.5)
    assert reward(attempt(RIGHT, num_tokens=900)) == pytest.approx(0.5)
    assert reward(attempt(WRONG, num_tokens=0)) == pytest.approx(-1.0)
    assert reward(attempt(WRONG, num_tokens=100)) == pytest.approx(-0.5)


def test_soft_overlong_grows_over_its_buffer() -> None:
    reward = SoftOverlong(max_tokens=100, buffer=20)
    values = [reward(attempt(num_tokens=length)) for length in (10, 80, 90, 100, 500)]
    assert values == pytest.approx([0, 0, -0.5, -1, -1])
    with pytest.raises(ValidationError, match="buffer 200 is longer than max_tokens 100"):
        SoftOverlong(max_tokens=100, buffer=200)


def test_finished_is_one_without_the_token_limit() -> None:
    assert Finished()(attempt()) == 1.0


def test_repetition_counts_repeated_word_runs() -> None:
    assert Repetition()(attempt("one two three four")) == 0.0
    assert Repetition(ngram=1)(attempt("red red red red")) == pytest.approx(-0.75)
    assert Repetition(ngram=1, allowed=0.5)(attempt("red red red red")) == pytest.approx(-0.5)
    assert Repetition()(attempt("")) == 0.0


def test_box_overlap_is_the_intersection_over_the_union() -> None:
    gold = {"kind": "box", "answer": "[0, 0, 10, 10]"}
    assert BoxOverlap()(attempt("<answer>[0, 0, 10, 10]</answer>", **gold)) == 1.0
    assert BoxOverlap()(attempt("<answer>[5, 0, 15, 10]</answer>", **gold)) == pytest.approx(1 / 3)
    assert BoxOverlap()(attempt("<answer>none</answer>", **gold)) == 0.0
    assert BoxOverlap()(attempt(RIGHT)) == 0.0
    assert BoxOverlap(elsewhere="correct")(attempt(RIGHT)) == 1.0


def test_interval_overlap_is_linear_in_time() -> None:
    gold = {"kind": "interval", "answer": "10 - 20"}
    assert IntervalOverlap()(attempt("<answer>15 - 25</answer>", **gold)) == pytest.approx(1 / 3)
    assert IntervalOverlap()(attempt("<answer>30 - 40</answer>", **gold)) == 0.0


def test_a_point_counts_within_its_tolerance() -> None:
    gold = {"kind": "point", "answer": "(0.5, 0.5)"}
    assert PointWithin()(attempt("<answer>0.6, 0.5</answer>", **gold)) == 1.0
    assert PointWithin()(attempt("<answer>0.7, 0.5</answer>", **gold)) == 0.0
    own = {"kind": "point", "answer": "(0.5, 0.5) ± 0.05"}
    assert PointWithin()(attempt("<answer>0.6, 0.5</answer>", **own)) == 0.0


def test_the_ladder_has_four_rungs() -> None:
    texts = ["3", "<think>a</think><answer>hm</answer>", WRONG, RIGHT]
    assert [Ladder()(attempt(text)) for text in texts] == [-2.0, -1.0, -0.5, 2.0]


BLOCK = "<parallel><path>a</path><path>b</path></parallel><summary>c</summary>"


def parallel(block: str, answer: str = "3") -> str:
    return f"<think>so {block}</think><answer>{answer}</answer>"


def test_parallel_tiers_pay_more_for_paths_and_nothing_for_broken_ones() -> None:
    texts = [parallel(BLOCK), parallel(""), parallel("<parallel>"), parallel(BLOCK, "4")]
    assert [ParallelTiers()(attempt(text)) for text in texts] == [1.2, 1.0, -1.0, -1.0]
    assert [ParallelBlocks()(attempt(text)) for text in texts] == [1.0, 0.0, 0.0, 1.0]


def test_tool_calls_must_be_closed_readable_and_few() -> None:
    call = '<tool_call>{"name": "zoom", "arguments": {}}</tool_call>'
    reward = ToolCalls(most=2)
    assert reward(attempt(call)) == 1.0
    assert reward(attempt(call * 2)) == 1.0
    assert reward(attempt(call * 3)) == 0.0
    assert reward(attempt("no call")) == 0.0
    assert reward(attempt("<tool_call>{}</tool_call>")) == 0.0
    assert reward(attempt("<tool_call>" + "[" * 100_000 + "</tool_call>")) == 0.0
    assert reward(attempt(call + "<tool_call>")) == 0.0
    assert ToolCalls(content="text")(attempt("<tool_call>2+2</tool_call>")) == 1.0
