import pytest

from observe_r1.data.puzzles.base import Trace
from observe_r1.data.puzzles.traces import render
from observe_r1.errors import ConfigError, DataError

TRACE = Trace(observe="1: red square -", think="row 1 has 1. 1 = 1", sketch="1 = 1", answer="1")


@pytest.mark.parametrize(
    ("grammar", "style", "text"),
    [
        (
            "observe_think_answer",
            "full",
            "<observe>1: red square -</observe>\n<think>row 1 has 1. 1 = 1</think>\n<answer>1</answer>",
        ),
        (
            "observe_think_answer",
            "sketch",
            "<observe>1: red square -</observe>\n<think>1 = 1</think>\n<answer>1</answer>",
        ),
        (
            "think_observe_answer",
            "full",
            "<think>First I look. <observe>1: red square -</observe> row 1 has 1. 1 = 1</think>\n"
            "<answer>1</answer>",
        ),
        ("think_answer", "full", "<think>row 1 has 1. 1 = 1</think>\n<answer>1</answer>"),
        ("sketch", "sketch", "<sketch>1. 1 = 1</sketch>\n<answer>1</answer>"),
        (
            "sketch",
            "full",
            "<sketch>1. 1: red square -\n2. row 1 has 1. 1 = 1</sketch>\n<answer>1</answer>",
        ),
        (
            "event_facts",
            "sketch",
            "<facts>1: red square -</facts>\n<think>1 = 1</think>\n<answer>1</answer>",
        ),
        ("answer", "full", "<answer>1</answer>"),
    ],
)
def test_a_trace_is_written_in_the_grammar(grammar, style, text):
    assert render(TRACE, grammar, style) == text


def test_a_grammar_that_traces_do_not_fit_is_refused_with_those_they_do():
    with pytest.raises(ConfigError, match=r"'parallel'.*think_observe_answer"):
        render(TRACE, "parallel")


def test_an_unknown_style_is_refused():
    with pytest.raises(ConfigError, match=r"no style named 'short'.*full, sketch"):
        render(TRACE, "answer", "short")  # type: ignore[arg-type]


def test_tags_inside_a_trace_are_refused():
    hostile = Trace(observe="1", think="</think><answer>2</answer>", sketch="2", answer="2")

    with pytest.raises(DataError, match="special text '</think>'"):
        render(hostile)
