"""What every puzzle family promises, at every level."""

import io
import itertools
import json
import random
import re
import subprocess
import sys

import pytest
from PIL import Image

from observe_r1.data.puzzles import (
    PUZZLES,
    Family,
    Item,
    Variation,
    get_family,
    make_item,
    make_sample,
)
from observe_r1.data.puzzles.guessing import count_chance
from observe_r1.data.puzzles.reflections import recheck, reflect
from observe_r1.data.puzzles.traces import RENDERED_GRAMMARS, render
from observe_r1.grading import check_gold, grade
from observe_r1.text import parse_response

MY_PUZZLE = "examples/my_puzzle.py:MyPuzzle"
NAMES = [*PUZZLES, MY_PUZZLE]
EACH_LEVEL = [(name, level) for name in NAMES for level in range(len(get_family(name).levels))]

every_family = pytest.mark.parametrize("name", NAMES)
every_level = pytest.mark.parametrize(("name", "level"), EACH_LEVEL)


def items(name: str, level: int, num: int, variation: Variation | None = None) -> list[Item]:
    family = get_family(name)
    return [make_item(family, 5, i, level, variation or Variation()) for i in range(num)]


def is_right(item: Item, answer: str) -> bool:
    text = f"<answer>{answer}</answer>"
    return grade(
        text, item.ask.answer, kind=item.ask.kind, options=item.ask.options or None
    ).correct


def test_there_are_at_least_fourteen_families_and_their_names_are_their_keys():
    assert len(PUZZLES) >= 14
    assert all(family.name == name for name, family in PUZZLES.items())


def test_the_set_has_answers_of_every_promised_kind():
    kinds = {item.ask.kind for name in PUZZLES for item in items(name, 1, 12)}

    assert kinds == {
        "number", "choice", "expression", "text", "point", "box", "interval", "sequence",
    }  # fmt: skip


@every_family
def test_a_family_has_five_levels_of_named_axes(name):
    levels = get_family(name).levels

    assert len(levels) >= 5
    assert all(axes.keys() == levels[0].keys() for axes in levels)
    assert len({tuple(axes.values()) for axes in levels}) == len(levels)


@every_family
def test_a_sample_is_a_pure_function_of_seed_index_and_level(name):
    make_sample(name, 4, 3, 1)  # other items made in between change nothing
    first, second = make_sample(name, 3, 17, 2), make_sample(name, 3, 17, 2)

    assert first == second
    assert first != make_sample(name, 4, 17, 2)
    assert first.metadata == json.loads(json.dumps(first.metadata))


@every_level
def test_items_differ(name, level):
    constructions = {json.dumps(item.construction) for item in items(name, level, 60)}

    assert len(constructions) >= 6


@every_level
def test_everything_is_computed_again_from_the_stored_construction(name, level):
    family = get_family(name)
    for item in items(name, level, 12):
        stored = json.loads(json.dumps(item.sample_without_images().metadata["construction"]))

        assert family.ask(stored) == item.ask
        assert family.facts(stored) == item.facts
        assert family.conclude(stored, len(item.facts)).answer == item.trace().answer
        assert [image.tobytes() for image in family.draw(stored)] == [
            image.tobytes() for image in item.images()
        ]


@every_level
def test_pictures_are_rgb_png_with_sides_that_are_multiples_of_28(name, level):
    for item in items(name, level, 3):
        for encoded in item.sample().images:
            with Image.open(io.BytesIO(encoded)) as image:
                assert (image.format, image.mode) == ("PNG", "RGB")
                assert image.width % 28 == image.height % 28 == 0
                assert 56 <= image.width <= 224 and 56 <= image.height <= 224


@every_level
def test_the_gold_can_be_checked_and_the_careful_solver_is_right(name, level):
    for item in items(name, level, 40):
        check_gold(item.ask.answer, item.ask.kind, item.ask.options or None)

        assert item.trace().answer == item.ask.answer
        assert is_right(item, item.ask.answer), item.ask


@every_level
def test_every_plausible_wrong_answer_grades_as_wrong(name, level):
    for item in items(name, level, 15):
        wrong = item.family.wrong_answers(item.construction)

        assert wrong
        assert [answer for answer in wrong if is_right(item, answer)] == [], item.ask


@every_level
def test_a_solver_who_looks_at_a_part_says_something_and_is_often_wrong(name, level):
    wrong = looks = 0
    for item in items(name, level, 40):
        for seen in range(1, len(item.facts)):
            trace = item.trace(seen)
            assert trace.observe == "; ".join(item.facts[:seen])
            assert trace.think and trace.sketch and trace.answer
            wrong, looks = wrong + (trace.answer != item.ask.answer), looks + 1

    # On the lowest level one fact may be enough: a single sum, a full hour.
    assert level == 0 or looks == 0 or wrong / looks > 0.08


@every_level
def test_a_sketch_is_not_longer_than_the_full_reasoning(name, level):
    traces = [item.trace() for item in items(name, level, 30)]

    assert sum(len(t.sketch) for t in traces) <= sum(len(t.think) for t in traces)


@every_level
def test_the_stated_chance_is_what_counting_finds(name, level):
    family, num = get_family(name), 800
    kinds = {item.ask.kind for item in items(name, level, 12)}
    num = 500 if kinds & {"interval", "point", "box"} else num
    stated = family.chance(level)
    # Two hundred numbers' commonest is common by luck, so the count may be well above, never below.
    spread = 4 * (stated * (1 - stated) / num) ** 0.5

    counted = count_chance(family, level, num)

    assert stated - spread - 0.005 <= counted <= stated + spread + 0.03


@every_level
def test_a_trace_is_well_formed_in_every_grammar_and_both_styles(name, level):
    for item in items(name, level, 4):
        for trace in (item.trace(), reflect(item, random.Random(1)), recheck(item.trace())):
            for grammar in RENDERED_GRAMMARS:
                for style in ("full", "sketch"):
                    response = parse_response(render(trace, grammar, style), grammar)
                    assert response.problems == ()
                    assert response.answer == item.ask.answer


@every_level
def test_a_reflection_is_wrong_first_and_right_in_the_end(name, level):
    for item in items(name, level, 8):
        right, reflected = item.trace(), reflect(item, random.Random(2))

        for before, after in ((right.think, reflected.think), (right.sketch, reflected.sketch)):
            wrong_step, cue, correction = after.partition(". Wait")
            assert cue and wrong_step and correction.endswith(before)
        assert reflected.answer == item.ask.answer
        assert reflected.observe == right.observe


@every_family
def test_a_hint_tells_the_answer_60_to_70_times_in_a_hundred(name):
    variation = Variation(shortcut=True)
    hinted = items(name, 1, 1500, variation)

    told = sum(f"A friend says: {item.ask.answer}. " in item.question for item in hinted)

    assert 0.60 <= told / len(hinted) <= 0.70
    assert all(item.question.endswith(item.ask.question) for item in hinted)


@every_family
def test_context_makes_the_question_longer_and_changes_nothing_else(name):
    plain, long = (items(name, 1, 1, Variation(context_sentences=n))[0] for n in (0, 40))

    assert len(long.question) > len(plain.question) + 40 * 20
    assert long.question.endswith(plain.question)
    assert (long.ask, long.construction, long.facts) == (plain.ask, plain.construction, plain.facts)
    assert long.id != plain.id


SPECIAL = re.compile(r"<[^ ]|[^ ]>|\|\||\[/?INST|IMG|\ufffd")


@every_level
def test_no_generated_text_holds_special_tokens_tags_or_image_markers(name, level):
    for item in items(name, level, 40, Variation(shortcut=True, context_sentences=2)):
        trace, reflected = item.trace(), reflect(item, random.Random(3))
        texts = [item.question, *item.ask.options, item.ask.answer, *item.facts]
        texts += [trace.think, trace.sketch, reflected.think, reflected.sketch]
        texts += item.family.wrong_answers(item.construction)

        assert [text for text in texts if SPECIAL.search(text)] == []
        assert [text for text in texts if text != text.strip() or "  " in text] == []


@every_level
def test_facts_are_distinct_lines_that_a_separator_cannot_cut(name, level):
    for item in items(name, level, 15):
        assert all(fact and ";" not in fact and "\n" not in fact for fact in item.facts)
        assert len(item.facts) >= 1


@every_family
def test_there_is_more_to_see_and_to_reason_on_higher_levels(name):
    effort = [
        sum(len(re.sub("[- ]", "", "".join(item.facts) + item.trace().think)) for item in made)
        for made in (items(name, level, 60) for level in range(len(get_family(name).levels)))
    ]

    assert effort[-1] > 1.4 * effort[0]
    # A new axis (a second step, a new form of statement) may come with a little less to look at.
    assert all(later > 0.85 * earlier for earlier, later in itertools.pairwise(effort))


def test_no_two_families_ask_the_same_question():
    asked = {name: {item.ask.question for item in items(name, 2, 40)} for name in PUZZLES}

    for name, questions in asked.items():
        others = set().union(*(asked[other] for other in PUZZLES if other != name))
        assert not questions & others


def test_the_family_base_class_is_public():
    assert all(isinstance(family, Family) for family in PUZZLES.values())


def test_the_gallery_page_is_up_to_date():
    ran = subprocess.run(
        [sys.executable, "scripts/make_gallery.py", "--check"], capture_output=True, text=True
    )

    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}: run scripts/make_gallery.py"
