import random

from observe_r1.data.puzzles import get_family, make_item
from observe_r1.data.puzzles.base import Trace
from observe_r1.data.puzzles.reflections import correct, recheck, reflect

CARELESS = Trace(observe="1: 2 -", think="2", sketch="2", answer="2")
CAREFUL = Trace(observe="1: 2 -; 2: 3 -", think="2, 2 + 3 = 5", sketch="2 + 3 = 5", answer="5")


def test_a_correction_puts_the_wrong_reasoning_first_and_keeps_the_whole_look():
    corrected = correct(CARELESS, CAREFUL, "Wait, let me look again")

    assert corrected.think == "2. Wait, let me look again: 2, 2 + 3 = 5"
    assert corrected.sketch == "2. Wait, let me look again: 2 + 3 = 5"
    assert corrected.observe == "1: 2 -; 2: 3 -"
    assert corrected.answer == "5"


def test_a_wrong_step_that_does_not_name_its_answer_gets_it():
    careless = Trace(observe="1: -", think="nothing in row 1", sketch="none", answer="0")

    assert correct(careless, CAREFUL, "Wait").think == "nothing in row 1, so 0. Wait: 2, 2 + 3 = 5"


def test_a_single_fact_leaves_a_slip_that_is_a_plausible_wrong_answer():
    item = make_item(get_family("arithmetic"), seed=0, index=0, level=0)  # 5 + 0

    reflected = reflect(item, random.Random(0))

    slip = reflected.think.removeprefix("at first sight ").split(".")[0]
    assert slip in ("4", "6", "7")
    assert reflected.think.endswith(": 5 + 0 = 5")


def test_the_same_random_numbers_make_the_same_reflection():
    item = make_item(get_family("counting"), seed=0, index=0, level=4)

    assert reflect(item, random.Random(4)) == reflect(item, random.Random(4))


def test_a_recheck_says_it_twice_and_answers_the_same():
    twice = recheck(CAREFUL)

    assert twice.think.count("2 + 3 = 5") == twice.sketch.count("2 + 3 = 5") == 2
    assert twice.answer == "5"
