"""What each transform writes, worked out by hand."""

from dataclasses import replace

import pytest

from observe_r1.data.transforms import Lesson
from observe_r1.data.transforms.bridge import Bridge, as_seen
from observe_r1.data.transforms.caption import Caption
from observe_r1.data.transforms.chunks import is_looping, redundant_from, split_chunks, statement
from observe_r1.data.transforms.corrupt_format import _BREAK, CorruptFormat
from observe_r1.data.transforms.difficulty_prefix import DifficultyPrefix, stated_difficulty
from observe_r1.data.transforms.recheck import Recheck
from observe_r1.data.transforms.reflection import Reflection
from observe_r1.data.transforms.repair_format import RepairFormat
from observe_r1.data.transforms.self_critic import SelfCritic
from observe_r1.data.transforms.sketch import Sketch, key_steps
from observe_r1.data.transforms.thought_dropout import ThoughtDropout
from observe_r1.data.transforms.truncate_and_cue import TruncateAndCue

TEXT = "<think>1 + 2 = 3</think>\n<answer>3</answer>"


def lesson(text: str = TEXT, **known) -> Lesson:
    return Lesson(id=known.pop("id", "q"), text=text, answer="3", **known)


def told(transform, given: Lesson, seed: int = 0) -> str:
    found = transform(given, seed)
    assert found is not None
    return found.text


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_about_the_share_of_thoughts_is_dropped(share):
    texts = [told(ThoughtDropout(share=share), lesson(id=f"q{i}")) for i in range(400)]
    dropped = texts.count("<think>\n\n</think>\n<answer>3</answer>")
    assert dropped + texts.count(TEXT) == 400
    assert abs(dropped / 400 - share) < 0.08


def test_easy_thoughts_are_dropped_first_when_asked():
    transform = ThoughtDropout(share=0.5, choose="easy")
    assert "1 + 2" not in told(transform, lesson(difficulty=0.2))
    assert told(transform, lesson(difficulty=0.7)) == TEXT


def test_another_seed_drops_other_thoughts():
    texts = [
        [told(ThoughtDropout(), lesson(id=f"q{i}"), seed) for i in range(20)] for seed in (0, 1)
    ]
    assert texts[0] != texts[1]


def test_the_prefix_says_how_hard_it_is():
    easy = DifficultyPrefix()(lesson(difficulty=0.1, sketch="short"))
    assert easy is not None
    assert easy.text == (
        "<difficulty>easy, think quickly</difficulty>\n<think>short</think>\n<answer>3</answer>"
    )
    assert easy.grammar == "difficulty_think_answer" and easy.is_well_formed
    hard = told(DifficultyPrefix(), lesson(difficulty=0.9, sketch="short"))
    assert hard == f"<difficulty>hard, think thoroughly</difficulty>\n{TEXT}"
    assert (stated_difficulty(easy.text), stated_difficulty(hard)) == ("easy", "hard")
    assert stated_difficulty(TEXT) is None
    assert DifficultyPrefix()(lesson()) is None  # nobody knows how hard it is


def test_chunks_by_hand():
    assert split_chunks("1 + 2 = 3. So 3\nDone!") == ["1 + 2 = 3.", "So 3", "Done!"]
    assert statement("Wait, let me check: 1 + 2 = 3.") == "1 + 2 = 3"
    assert statement("It is the same") == ""
    assert redundant_from(["1 + 2 = 3.", "2 + 2 = 4."]) is None
    assert redundant_from(["1 + 2 = 3.", "1 + 2 = 33."]) is None  # the words differ
    assert redundant_from(["row 1: 2, row 2: 1.", "Hmm, row 2: 1."]) == 1
    assert redundant_from(["Hmm.", "1 + 2 = 3.", "Wait.", "2 + 2 = 4.", "So the answer is 4."]) == 4
    assert is_looping(["Wait, 3.", "So 3.", "3"]) and not is_looping(["3", "4", "3"])


def test_a_thought_is_cut_where_nothing_new_comes():
    long = told(Recheck(least=1, most=1), lesson())
    assert long == (
        "<think>1 + 2 = 3. Let me check: 1 + 2 = 3. It is the same</think>\n<answer>3</answer>"
    )
    cut = "<think>1 + 2 = 3. All is fine, so I go on.</think>\n<answer>3</answer>"
    assert told(TruncateAndCue(), lesson(long)) == cut
    circles = told(Recheck(least=3, most=3), lesson())
    assert "in circles" in told(TruncateAndCue(), lesson(circles))
    assert told(TruncateAndCue(), lesson()) == TEXT


@pytest.mark.parametrize(
    "thought",
    [
        "Okay, let me look.\nHmm.\nThe triangle has a base of 4 and a height of 3, so 4 + 3 = 7.",
        "There are 4 red squares. Wait. There are also 3 blue ones. So 4 + 3 = 7.",
    ],
)
def test_a_thought_is_not_cut_before_what_its_answer_rests_on(thought):
    text = f"<think>{thought}</think>\n<answer>7</answer>"
    assert told(TruncateAndCue(), lesson(text)) == text
    cut = thought.replace("\n", " ") + " All is fine, so I go on."
    again = (
        f"<think>{thought} Let me check. 4 + 3 = 7. So the answer is 7.</think>\n<answer>7</answer>"
    )
    assert told(TruncateAndCue(), lesson(again)) == f"<think>{cut}</think>\n<answer>7</answer>"


def test_a_solvers_numbered_rows_are_not_cut_in_two():
    rows = "<think>1: 1 1 2 2; 2: 3 4 4 4 = 4</think>\n<answer>4</answer>"
    assert told(TruncateAndCue(), lesson(rows)) == rows


def test_a_sketch_has_the_key_steps():
    text = "<think>I see that row 1 has 2. Then row 2 has 1. So 2 + 1 = 3. Let me check: 2 + 1 = 3</think><answer>3</answer>"
    expected = "<sketch>1. row 1 has 2\n2. row 2 has 1\n3. 2 + 1 = 3</sketch>\n<answer>3</answer>"
    assert told(Sketch(), lesson(text)) == expected
    assert told(Sketch(), lesson(text, sketch="2 + 1 = 3")) == (
        "<sketch>1. 2 + 1 = 3</sketch>\n<answer>3</answer>"
    )
    inside = Sketch(tag="think")(lesson(text))
    assert inside is not None and inside.grammar == "think_answer" and inside.is_well_formed
    assert inside.text == (expected.replace("sketch>", "think>").replace("</think>\n", "</think>"))
    assert key_steps("First, 1 + 2 = 3. Let me check: 1 + 2 = 3.") == ["1 + 2 = 3"]
    assert key_steps("The first bar is 3, the next bar is 5. Then the one next to it is red") == [
        "The first bar is 3", "the next bar is 5", "the one next to it is red"
    ]  # fmt: skip


WRONG = ("<think>2</think><answer>2</answer>",)


def test_reflection_turns_back_from_a_wrong_path():
    assert told(Reflection(), lesson(wrong=WRONG)) == (
        "<think>2. Wait, let me look again: 1 + 2 = 3</think>\n<answer>3</answer>"
    )
    assert Reflection()(lesson()) is None
    assert Reflection()(lesson(wrong=(TEXT,))) is None  # that one is not wrong
    assert Reflection()(lesson(wrong=WRONG, correct=False)) is None


def test_a_critic_confirms_or_improves():
    assert told(SelfCritic(), lesson(wrong=WRONG)) == (
        "<think>2. Comment: this is wrong. Better: 1 + 2 = 3</think>\n<answer>3</answer>"
    )
    assert told(SelfCritic(), lesson()) == (
        "<think>1 + 2 = 3. Comment: this is right.</think>\n<answer>3</answer>"
    )


def test_a_caption_comes_before_the_reasoning():
    assert told(Caption(), lesson(caption="1: red -; 2: red red")) == (
        "<think>The picture shows: 1: red -; 2: red red. 1 + 2 = 3</think>\n<answer>3</answer>"
    )
    looked = "<observe>1: red -</observe>\n<think>1</think>\n<answer>1</answer>"
    assert "shows: 1: red -. 1</think>" in told(
        Caption(), lesson(looked, grammar="observe_think_answer")
    )
    assert Caption()(lesson()) is None


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("no_tags", "1 + 2 = 3\nThe answer is 3."),
        ("no_answer_tag", "<think>1 + 2 = 3</think>\nThe answer is 3."),
        ("unclosed_answer", "<think>1 + 2 = 3</think>\n<answer>3"),
        ("tags_as_words", "Thought: 1 + 2 = 3\nAnswer: 3"),
        ("shifted_tag", "<think>1 + 2 = 3\n<answer>3</answer></think>"),
        ("answer_first", "<answer>3</answer>\n<think>1 + 2 = 3</think>"),
        ("answer_twice", f"{TEXT}\n<answer>3</answer>"),
        ("unclosed_thought", "<think>1 + 2 = 3\n<answer>3</answer>"),
    ],
)
def test_every_corruption_by_hand(kind, broken):
    assert told(CorruptFormat(kinds=(kind,)), lesson()) == broken


def test_all_corruptions_are_tested_and_come_up():
    assert len(_BREAK) == 8
    texts = {told(CorruptFormat(), lesson(id=f"q{i}")) for i in range(100)}
    assert len(texts) == 5
    assert CorruptFormat()(lesson("<think>1 + 2 = 3")) is None  # broken already


@pytest.mark.parametrize("kind", sorted(set(_BREAK) - {"answer_first", "answer_twice"}))
def test_what_was_broken_is_mended(kind):
    broken = CorruptFormat(kinds=(kind,))(lesson())
    assert broken is not None
    mended = RepairFormat()(broken)
    if kind == "unclosed_answer":  # where an answer ends that was never closed is not guessed
        assert mended is None or mended.is_well_formed
    else:
        assert mended is not None and mended.is_well_formed
        assert mended.text.endswith("<answer>3</answer>") and "1 + 2 = 3" in mended.text


def test_a_mended_answer_is_still_right_within_its_tags():
    said = lesson("I count 1 and 2, so there are 3 dots", correct=True, kind="number")
    assert told(RepairFormat(), said).endswith("<answer>3</answer>")
    letters = lesson("I see blue. The answer is (B) blue.", correct=True)
    choice = replace(letters, answer="B", kind="choice", options=("red", "blue"))
    assert told(RepairFormat(), choice).endswith(
        ("<answer>(B) blue</answer>", "<answer>B</answer>")
    )
    wrong = replace(said, text="so there are 4 dots", correct=False)
    assert "<answer>so there are 4 dots</answer>" in told(RepairFormat(), wrong)  # its own words


def test_a_chain_about_a_description_becomes_one_about_a_picture():
    text = "<think>The description says 2 red. 2 + 1 = 3</think>\n<answer>3</answer>"
    assert told(Bridge(), lesson(text)) == text.replace("The description says", "The picture shows")
    assert as_seen("According to the description, the text mentions 3 dots") == (
        "According to the picture, the picture shows 3 dots"
    )
    named = "<think>The caption says so</think>\n<answer>the caption</answer>"
    assert told(Bridge(), lesson(named)) == named.replace("The caption says", "The picture shows")
    blind = "<think>The colour is not described, so 3</think><answer>3</answer>"
    assert Bridge()(lesson(blind)) is None
