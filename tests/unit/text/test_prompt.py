"""The question as the model reads it."""

from observe_r1.text import format_question
from observe_r1.types import Sample


def question(kind: str, options: tuple[str, ...]) -> str:
    sample = Sample(id="q", question="How long? <image>", answer="B", kind=kind, options=options)  # type: ignore[arg-type]
    return format_question(sample)


def test_options_of_a_choice_follow_as_lettered_lines() -> None:
    assert question("choice", ("10 cm", "12 cm")) == "How long? <image>\nA. 10 cm\nB. 12 cm"


def test_a_question_without_options_stays_as_it_is() -> None:
    assert question("choice", ()) == "How long? <image>"
    assert question("number", ("10", "12")) == "How long? <image>"


def test_options_that_only_repeat_their_letters_are_left_out() -> None:
    assert question("choice", ("A", "B", "C")) == "How long? <image>"
    assert question("choice", ("(A)", "(B)")) == "How long? <image>"
    assert question("choice", ("A", "B", "D")).endswith("C. D")
