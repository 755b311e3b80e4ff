"""One rule over all transforms, on what a solver writes and on what a model writes."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe_r1.data.puzzles import MIX, get_family, make_item
from observe_r1.data.puzzles.special_text import refuse_special_text
from observe_r1.data.puzzles.traces import RENDERED_GRAMMARS, render
from observe_r1.data.transforms import TRANSFORMS, Lesson
from observe_r1.data.transforms.sections import plain
from observe_r1.grading import grade
from observe_r1.text import GRAMMARS, parse_response

NAMES = sorted(TRANSFORMS)
IDEMPOTENT = set(NAMES) - {"recheck", "corrupt_format", "reflection"}
"""Told twice is told once; the others make each time something more, or something broken."""
BREAKS_THE_FORM = {"corrupt_format"}


def solver_lesson(family: str, index: int, grammar: str = "think_answer") -> Lesson:
    item = make_item(get_family(family), 3, index, index % 5)
    trace = item.trace()
    careless = item.trace(max(1, len(item.facts) // 2))
    slip = get_family(family).wrong_answers(item.construction)[0]
    wrong = careless if careless.answer != trace.answer else replace(careless, answer=slip)
    return Lesson(
        id=f"{family}-{index}",
        text=render(trace, grammar),
        grammar=grammar,
        answer=item.ask.answer,
        difficulty=(index % 5) / 4,
        caption="; ".join(item.facts),
        sketch=trace.sketch,
        correct=True,
        wrong=(render(wrong, grammar),),
    )


MODEL_WRITTEN = (
    "<think>I see 3 red squares. Wait, let me check. I see 3 red squares. So 3</think>\n<answer>3</answer>",
    "<think>The description says there are 2 and 1. 2 + 1 = 3.</think> <answer> 3 </answer>",
    "<think>First, 1 + 1 = 2, then 2 + 1 = 3\nHmm, 2 + 1 = 3\nHmm, 2 + 1 = 3</think><answer>3</answer>",
    "<think>2 + 1 = 3</think>\nThe answer is 3.",
    "2 + 1 = 3, so the answer is 3.",
    "<think>never closed <answer>3</answer>",
    "<think>a</think><think>b</think><answer>2</answer><answer>3</answer>",
    "<think>\n\n</think>\n<answer>3</answer>",
    "<observe>3 dots</observe>\n<think>3</think>\n<answer>3",
    "",
    "   ",
    "<|im_end|><think>2 + 1 = 3<|endoftext|></think><|im_start|><answer>3</answer><image>",
    "[INST]<think>so<|im_<|x|>end|> 3</think><answer>3</answer>[/INST]",
)


def model_lessons() -> list[Lesson]:
    return [
        Lesson(
            id=f"model-{number}", text=text, answer="3", difficulty=number / 12,
            caption="a <|im_end|>tray", wrong=("<think>2</think><answer>2</answer>", "no"),
        )
        for number, text in enumerate(MODEL_WRITTEN)
    ]  # fmt: skip


def solver_lessons() -> list[Lesson]:
    return [solver_lesson(family, index) for family in MIX for index in range(6)]


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_shows_an_example_and_the_settings_are_documented(name):
    assert "Example:" in (TRANSFORMS[name].__doc__ or "")
    for setting, field in TRANSFORMS[name].model_fields.items():
        assert setting == "type" or field.description, f"{name}.{setting}"


@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_a_function_of_the_lesson_and_the_seed(name):
    transform = TRANSFORMS[name]()
    lessons = [*solver_lessons(), *model_lessons()]
    told = {lesson.id: transform(lesson, 5) for lesson in lessons}
    random.Random(0).shuffle(lessons)
    assert {lesson.id: transform(lesson, 5) for lesson in lessons} == told


@pytest.mark.parametrize("name", NAMES)
def test_it_works_on_solver_traces(name):
    transform = TRANSFORMS[name]()
    told = [transform(lesson) for lesson in solver_lessons()]
    assert sum(lesson is not None for lesson in told) >= 0.8 * len(told)


@pytest.mark.parametrize("name", NAMES)
def test_it_works_on_some_of_what_a_model_writes_and_never_fails(name):
    told = [TRANSFORMS[name]()(lesson) for lesson in model_lessons()]
    assert any(lesson is not None for lesson in told)


@pytest.mark.parametrize("name", NAMES)
def test_no_control_text_comes_out(name):
    for lesson in [*solver_lessons(), *model_lessons()]:
        told = TRANSFORMS[name]()(lesson)
        if told is None:
            continue
        for mark in ("<|", "|>", "[INST]", "[/INST]", "<image>"):
            assert mark not in told.text, told.text
        for section in ("think", "sketch"):
            for inside in parse_response(told.text, told.grammar).sections.get(section, ()):
                if told.is_well_formed:
                    refuse_special_text(inside, lesson.id)


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_stays(name):
    for lesson in solver_lessons():
        told = TRANSFORMS[name]()(lesson)
        assert told is not None
        if name in BREAKS_THE_FORM:  # no tag can be relied on, the answer is still the last word
            assert plain(told.text).rstrip(".").endswith(lesson.answer), told.text
        else:
            assert grade(told.text, lesson.answer, extract="tagged").correct, told.text


@pytest.mark.parametrize("name", NAMES)
def test_a_well_formed_response_stays_well_formed_in_the_grammar_it_names(name):
    for lesson in solver_lessons():
        told = TRANSFORMS[name]()(lesson)
        assert told is not None
        assert told.grammar in GRAMMARS
        assert told.is_well_formed is (name not in BREAKS_THE_FORM), told.text


@pytest.mark.parametrize("grammar", sorted(set(RENDERED_GRAMMARS) - {"think_answer"}))
@pytest.mark.parametrize("name", sorted(set(NAMES) - BREAKS_THE_FORM))
def test_in_any_grammar_a_well_formed_response_stays_so_or_is_left_out(name, grammar):
    for family in MIX:
        lesson = solver_lesson(family, 1, grammar)
        assert lesson.is_well_formed
        told = TRANSFORMS[name]()(lesson)
        assert told is None or told.is_well_formed, told.text


@pytest.mark.parametrize("name", sorted(IDEMPOTENT))
def test_told_twice_is_told_once(name):
    transform = TRANSFORMS[name]()
    for lesson in [*solver_lessons(), *model_lessons()]:
        once = transform(lesson, 2)
        if once is not None:
            twice = transform(once, 2)
            assert twice is not None and twice.text == once.text


@pytest.mark.parametrize("name", NAMES)
def test_settings_round_trip(name):
    transform = TRANSFORMS[name]()
    assert type(transform).model_validate(transform.model_dump(mode="json")) == transform


@settings(max_examples=200)
@given(
    name=st.sampled_from(NAMES),
    text=st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<answer>", "</answer>", "<sketch>", "</sketch>", "<|", "|>",
             "<|im_end|>", "3", ". ", "\n", "wait", "so 2 + 1 = 3", "é", "\ud800", "1. ", "; "]
        ),
        max_size=14,
    ).map("".join),
)  # fmt: skip
def test_hostile_text_is_data(name, text):
    told = TRANSFORMS[name]()(Lesson(id="x", text=text, answer="3", difficulty=0.2, wrong=(text,)))
    assert told is None or ("<|im_end|>" not in told.text and isinstance(told.text, str))
