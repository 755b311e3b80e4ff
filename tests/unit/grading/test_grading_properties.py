"""What holds for every answer, checked on generated ones."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from observe_r1.grading import KINDS, check_gold, grade

anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
formula_like = st.text("0123456789+-*/^(){}[]\\frac sqrt.,=%|<>ABCx", max_size=40)
GOLDS = {
    "number": "7319", "expression": "(7319, 2)", "choice": "G", "parts": "7319; quokka",
    "text": "quokka", "point": "(7319, 20) ± 5", "box": "[7300, 7300, 7400, 7400]",
    "interval": "7300 - 7400", "sequence": "up, left, up, down",
}  # fmt: skip


@settings(max_examples=400)
@given(
    text=st.one_of(anything, formula_like),
    kind=st.sampled_from(KINDS),
    extract=st.sampled_from(["tagged", "boxed", "plain"]),
    is_tagged=st.booleans(),
)
def test_any_text_is_graded_without_an_exception(text, kind, extract, is_tagged) -> None:
    completion = f"<answer>{text}</answer>" if is_tagged else text
    found = grade(completion, GOLDS[kind], kind=kind, extract=extract)
    assert isinstance(found.correct, bool) and found.reason


numbers = st.fractions(min_value=-9999, max_value=9999, max_denominator=999)


def spellings(value: Fraction) -> list[str]:
    sign, size = ("-" if value < 0 else ""), abs(value)
    top, bottom = size.numerator, size.denominator
    forms = [
        f"{sign}{top}/{bottom}", f"{sign}\\frac{{{top}}}{{{bottom}}}",
        f"${sign}\\dfrac{{{2 * top}}}{{{2 * bottom}}}$", f"x = {sign}{top}/{bottom}",
        f"The answer is {sign}{top}/{bottom}.", f"\\boxed{{{sign}\\frac{{{top}}}{{{bottom}}}}}",
    ]  # fmt: skip
    if bottom == 1:
        forms += [f"{sign}{top}", f"{sign}{top:,}", f"{sign}{top}.0", f"{sign}{top} cm"]
    return forms


@settings(max_examples=150)
@given(value=numbers, other=numbers)
def test_a_number_is_right_in_every_spelling_and_no_other_number_is(value, other) -> None:
    gold = str(value)
    for spelling in spellings(value):
        assert grade(f"<answer>{spelling}</answer>", gold, kind="number").correct, spelling
    if other != value:
        for spelling in spellings(other):
            assert not grade(f"<answer>{spelling}</answer>", gold, kind="number").correct, spelling


@settings(max_examples=150)
@given(gold=st.integers(0, 5), said=st.integers(0, 5), form=st.integers(0, 5))
def test_an_option_is_right_by_letter_and_by_text_and_no_other_is(gold, said, form) -> None:
    options = [f"{10 * i + 3} cm" for i in range(6)]
    letter, text = "ABCDEF"[said], options[said]
    answer = [
        letter,
        f"({letter})",
        f"{letter}. {text}",
        text,
        f"The answer is {letter}",
        f"${text}$",
    ]
    found = grade(f"<answer>{answer[form]}</answer>", "ABCDEF"[gold], options=options)
    assert found.correct == (gold == said)


@settings(max_examples=100)
@given(
    st.sets(st.integers(0, 4), min_size=2), st.sampled_from([", ", " or ", " and ", "", "/", " "])
)
def test_two_letters_and_more_are_never_right(said, joint) -> None:
    answer = joint.join("ABCDE"[i] for i in sorted(said))
    for gold in "ABCDE":
        assert not grade(f"<answer>{answer}</answer>", gold, options=list("vwxyz")).correct


@settings(max_examples=200)
@given(gold=st.one_of(anything, formula_like))
def test_a_gold_that_passes_the_check_is_right_as_its_own_answer_or_wrong_but_never_breaks(
    gold,
) -> None:
    try:
        check_gold(gold, "text")
    except ValueError:
        return
    grade(f"<answer>{gold}</answer>", gold, kind="text")
    assert not grade("<answer>quokka zebra</answer>", gold, kind="text").correct or "quokka" in gold


@settings(max_examples=100)
@given(text=anything)
def test_what_stands_outside_the_answer_section_changes_nothing(text) -> None:
    inside = "<answer>7319</answer>"
    if "<answer>" not in text and not text.rstrip().endswith("<"):
        assert grade(text + inside, "7319").correct
    if "<answer>" not in text:
        assert grade(inside + text, "7319").correct
