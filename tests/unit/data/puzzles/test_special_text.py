import pytest

from observe_r1.data.puzzles.special_text import refuse_special_text
from observe_r1.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user",
        "a <image> here",
        "</answer>",
        "<think>",
        "x<|image_pad|>",
        "[INST] hello",
    ],
)
def test_special_text_is_refused_with_its_place(text):
    with pytest.raises(DataError, match="puzzle here holds the special text"):
        refuse_special_text(text, "here")


@pytest.mark.parametrize("text", ["3 < 4 and 5 > 2", "[88, 18, 108, 38]", "A ≠ B", "12 + 4\\pi"])
def test_plain_signs_are_not(text):
    assert refuse_special_text(text, "here") is None  # raises what it refuses
