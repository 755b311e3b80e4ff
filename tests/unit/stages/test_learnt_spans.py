"""Which tokens of a response are learnt."""

import pytest

from observe_r1.config.spans import Spans
from observe_r1.stages.spans import learnt_tokens, sections

TEXT = "<observe>ab</observe>\n<think>c</think>\n<answer>3</answer>"
LETTERS = [(place, place + 1) for place in range(len(TEXT))]


def learnt(spans: Spans, text: str = TEXT) -> str:
    flags = learnt_tokens(text, [(i, i + 1) for i in range(len(text))], spans)
    return "".join(letter for letter, is_learnt in zip(text, flags, strict=True) if is_learnt)


def test_everything_when_nothing_is_said():
    assert learnt(Spans()) == TEXT


def test_only_some_sections_with_their_tags():
    assert learnt(Spans(only=("answer",))) == "<answer>3</answer>"
    assert learnt(Spans(only=("answer", "observe"))) == "<observe>ab</observe><answer>3</answer>"


def test_all_but_some_sections():
    assert learnt(Spans(without=("observe",))) == "\n<think>c</think>\n<answer>3</answer>"


def test_from_a_section_on():
    assert learnt(Spans(since="think")) == "<think>c</think>\n<answer>3</answer>"
    assert learnt(Spans(since="sketch")) == "", "a section that is not there teaches nothing"


def test_a_section_that_is_never_closed_reaches_to_the_end():
    assert learnt(Spans(only=("think",)), "a<think>b c") == "<think>b c"
    assert learnt(Spans(without=("think",)), "a<think>b c") == "a"


def test_a_section_that_comes_twice_counts_twice():
    assert sections("<a>1</a><b>2</b><a>3</a>", ["a"]) == [(0, 8), (16, 24)]


def test_a_token_belongs_to_where_it_begins():
    flags = learnt_tokens("x<a>y</a>", [(0, 2), (2, 9)], Spans(only=("a",)))
    assert flags == [False, True], "the first token begins before the section"


def test_two_ways_of_choosing_exclude_each_other():
    with pytest.raises(ValueError, match="only and since exclude each other"):
        Spans(only=("think",), since="answer")
