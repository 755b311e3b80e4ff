"""Reading tagged responses: what is well formed, and what exactly is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe_r1.errors import ConfigError
from observe_r1.text import GRAMMARS, last_section, parse_response, system_prompt
from pace import times_as_long

WELL_FORMED = {
    "observe_think_answer": "<observe>a</observe>\n<think>b</think>\n<answer>3</answer>\n",
    "think_observe_answer": "<think>b <observe>a</observe> c</think><answer>3</answer>",
    "think_answer": "<think>b</think><answer>3</answer>",
    "think_or_not": "<think>\n\n</think>\n<answer>3</answer>",
    "difficulty_think_answer": "<difficulty>easy</difficulty>\n<think>b</think>\n<answer>3</answer>",
    "answer": " <answer>3</answer>",
    "plan_answer": "<think>a</think><plan>b</plan><think>c</think><answer>3</answer>",
    "parallel": "<think>a <parallel><path>b</path> <path>c</path></parallel> <summary>d</summary> "
    "e</think><answer>3</answer>",
    "sketch": "<sketch>1. a</sketch><answer>3</answer>",
    "event_facts": "<facts>0-2: a</facts><think>b</think><answer>3</answer>",
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_each_grammar_accepts_its_own_structure(name: str) -> None:
    response = parse_response(WELL_FORMED[name], name)
    assert response.well_formed and response.problems == () and response.completeness == 1.0
    assert response.answer == "3"


ACCEPTED_AS_WELL = {
    # Tags a grammar does not know are text like any other, and parallel blocks are optional.
    "think_answer": {"think_observe_answer", "parallel"},
    "parallel": {"think_answer", "think_observe_answer"},
    "think_or_not": {"think_answer", "think_observe_answer", "parallel"},
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_each_grammar_refuses_the_structures_of_the_others(name: str) -> None:
    accepted = {other for other in GRAMMARS if parse_response(WELL_FORMED[other], name).well_formed}
    assert accepted == {name} | ACCEPTED_AS_WELL.get(name, set())


@pytest.mark.parametrize("name", GRAMMARS)
def test_each_prompt_names_every_tag_in_few_words(name: str) -> None:
    prompt = system_prompt(name)
    assert len(prompt.split()) <= 45
    assert all(f"<{tag}>" in prompt for tag in GRAMMARS[name].tags)


def test_sections_are_kept_by_tag() -> None:
    response = parse_response(WELL_FORMED["plan_answer"], "plan_answer")
    assert response.sections == {"think": ("a", "c"), "plan": ("b",), "answer": ("3",)}
    assert response.first("plan") == "b" and response.first("observe") is None


@pytest.mark.parametrize(
    ("text", "grammar", "problem"),
    [
        ("<think>b</think>", "think_answer", "no <answer> section"),
        ("3", "think_answer", "text without any section"),
        ("<think> </think><answer>3</answer>", "think_answer", "<think> is blank"),
        ("<think>b</think><answer>3", "think_answer", "<answer> is never closed"),
        ("<think>b</think></think><answer>3</answer>", "think_answer", "</think> closes nothing"),
        ("<think>b</think><answer>3</answer> or 4", "think_answer", "text after </answer>"),
        ("hm <think>b</think><answer>3</answer>", "think_answer", "text before <think>"),
        (
            "<think>b</think><answer>3</answer><answer>3</answer>",
            "think_answer",
            "<answer> appears 2 times",
        ),
        (
            "<answer>3</answer><think>b</think>",
            "think_answer",
            "sections are out of order: answer, think (too few of think)",
        ),
        (
            "<observe>a</observe><think>b<observe>c</observe></think><answer>3</answer>",
            "observe_think_answer",
            "<observe> stands where it may not",
        ),
        (
            "<think>a <parallel>hm <path>b</path><path>c</path></parallel><summary>d</summary>"
            "</think><answer>3</answer>",
            "parallel",
            "text before <path>",
        ),
    ],
)
def test_the_report_says_what_exactly_is_wrong(text: str, grammar: str, problem: str) -> None:
    response = parse_response(text, grammar)
    assert not response.well_formed
    assert problem in response.problems


def test_a_single_parallel_path_is_not_parallel() -> None:
    text = WELL_FORMED["parallel"].replace(" <path>c</path>", "")
    assert not parse_response(text, "parallel").well_formed


def test_a_summary_must_follow_each_parallel_block() -> None:
    text = WELL_FORMED["parallel"].replace("<summary>d</summary>", "")
    assert not parse_response(text, "parallel").well_formed


def test_the_last_answer_section_counts_and_an_open_one_is_none() -> None:
    assert last_section("<answer>3</answer><answer> 4 </answer>", "answer") == "4"
    assert last_section("<answer>3</answer><answer>4", "answer") is None
    assert last_section("<answer> </answer>", "answer") is None


def test_completeness_counts_the_demands_that_are_met() -> None:
    assert parse_response("", "think_answer").completeness == 0.0
    assert parse_response("<think>b</think>", "think_answer").completeness == pytest.approx(1 / 3)
    halfway = parse_response("<think>b</think><answer>3</answer>!", "think_answer")
    assert halfway.completeness == pytest.approx(2 / 3)


def test_an_unknown_grammar_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no grammar named 'v3'. Known grammars: observe_think"):
        parse_response("", "v3")


@pytest.mark.parametrize(
    "piece", ["<", "<think>", "</think>", "<think", "<answer>1</answer>", "\u200b", " ", "a <"]
)
def test_hostile_text_of_four_times_the_length_takes_four_times_as_long(piece: str) -> None:
    small, large = (
        "<think>" + piece * (size // len(piece.encode())) + "</think>"
        for size in (250_000, 1_000_000)
    )
    longer = times_as_long(lambda text: parse_response(text, "observe_think_answer"), small, large)
    assert longer < 10  # were it quadratic, 16


pieces = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<answer>", "</answer>", "<observe>", "</observe>", "x", " ", "\n"]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=400)
@given(text=pieces, name=st.sampled_from(list(GRAMMARS)))
def test_whatever_is_called_well_formed_is_rebuilt_from_its_sections(text: str, name: str) -> None:
    response = parse_response(text, name)
    assert response.well_formed == (not response.problems)
    if response.well_formed and name == "observe_think_answer":
        first = {tag: response.first(tag) for tag in ("observe", "think", "answer")}
        rebuilt = "".join(f"<{tag}>{inside}</{tag}>" for tag, inside in first.items())
        assert "".join(text.split()) == "".join(rebuilt.split())
