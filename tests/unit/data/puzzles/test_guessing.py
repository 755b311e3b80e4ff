import random

from observe_r1.data.puzzles import get_family
from observe_r1.data.puzzles.dice import Dice
from observe_r1.data.puzzles.events import Events
from observe_r1.data.puzzles.guessing import count_chance


class LoadedDice(Dice):
    """One die, and it shows a six three times in four."""

    name = "loaded_dice"

    def build(self, rng: random.Random, axes):
        return {"tray": [6 if rng.random() < 0.75 else 1] + [0] * 15}


class OneSpell(Events):
    """The lamp is on from 1 to 3 or from 1 to 4: either is right for the other."""

    name = "one_spell"

    def build(self, rng: random.Random, axes):
        blank = [""] * 4
        return {
            "plate": blank,
            "floor": blank,
            "first": 1,
            "last": rng.choice((2, 3)),
            "asked": "when",
        }


def test_the_commonest_answer_is_the_best_blind_guess():
    assert abs(count_chance(LoadedDice(), 0, 2000) - 0.75) < 0.04


def test_spans_are_guessed_with_the_overlap_that_grading_allows():
    assert count_chance(OneSpell(), 0, 200) == 1.0


def test_the_words_a_question_is_filled_with_do_not_split_its_form():
    # Sixteen colours and shapes, three forms: the share is that of a form, not of a single question.
    assert count_chance(get_family("counting"), 4, 900) < 0.16
