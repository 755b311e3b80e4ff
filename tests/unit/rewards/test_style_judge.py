import random

import pytest

from observe_r1.data.puzzles import make_item
from observe_r1.data.puzzles.counting import Counting
from observe_r1.errors import DataError
from observe_r1.rewards import Scoring, score_group
from observe_r1.rewards.style_judge import (
    JudgeChecks,
    check_judge,
    features,
    fit_judge,
    load_judge,
    save_judge,
)
from observe_r1.types import Completion, RolloutGroup, Sample

SKETCHES = [f"1. {a} + {b} = {a + b}\n2. so {a + b}, no {b}" for a in range(9) for b in range(9)]
ESSAYS = [
    f"I look at the first row, where I see {a} of them, and at the second, where there are {b}. "
    f"Adding {a} and {b} gives {a + b}. Let me go through it again: {a} and {b} are {a + b}."
    for a in range(9)
    for b in range(9)
]


def test_features_by_hand():
    found = features("12 + 1")
    assert set(found) == {"#", "+", "# +", "+ #", "# + #"}
    assert sum(value**2 for value in found.values()) == pytest.approx(1.0)
    assert found["#"] == pytest.approx(2 * found["+"])


def test_digits_and_repetition_do_not_matter():
    assert features("3 + 4 = 7") == features("12 + 19 = 31")
    judge = fit_judge(SKETCHES, ESSAYS)
    twice = judge.probability(f"{SKETCHES[0]}\n{SKETCHES[0]}")
    assert twice == pytest.approx(judge.probability(SKETCHES[0]), abs=0.05)


def test_the_judge_tells_styles_apart_also_at_equal_length():
    checks = fit_judge(SKETCHES, ESSAYS, seed=3).checks
    assert checks is not None
    assert checks.auc > 0.99
    assert checks.auc_length_alone > 0.99  # sketches are shorter: length alone would do
    assert checks.auc_length_matched > 0.99  # and still it is not length that the judge sees
    assert not checks.is_length_detector


def test_a_detector_of_length_is_found_out():
    rng = random.Random(0)
    words = ["red", "blue", "row", "and", "so"]
    short = sorted({" ".join(rng.choices(words, k=8)) for _ in range(200)})
    long = sorted({" ".join(rng.choices(words, k=60)) for _ in range(200)})
    judge = fit_judge(short, long)
    assert judge.checks is not None
    assert judge.checks.auc_length_alone == 1.0
    assert judge.checks.is_length_detector


def test_checks_by_hand():
    judge = fit_judge(SKETCHES, ESSAYS)
    same = check_judge(judge, SKETCHES[:4], SKETCHES[:4])
    assert (same.auc, same.auc_length_alone) == (0.5, 0.5)
    assert JudgeChecks(
        auc=0.9, auc_length_alone=1, auc_length_matched=0.6, num_texts=8
    ).is_length_detector


def test_a_judge_loads_back(tmp_path):
    judge = fit_judge(SKETCHES, ESSAYS)
    save_judge(judge, tmp_path / "judge.json")
    there = load_judge(str(tmp_path / "judge.json"))
    assert there == judge
    assert there.probability(ESSAYS[0]) == judge.probability(ESSAYS[0])


def test_the_reward_is_the_label_of_the_section(tmp_path):
    save_judge(fit_judge(SKETCHES, ESSAYS), tmp_path / "judge.json")
    reward = {"type": "style", "judge": str(tmp_path / "judge.json")}
    sample = Sample(id="s", question="?", answer="3", kind="number")
    texts = (
        f"<think>{SKETCHES[10]}</think><answer>3</answer>",
        f"<think>{ESSAYS[10]}</think><answer>3</answer>",
        "<answer>3</answer>",
    )
    group = RolloutGroup(sample=sample, completions_G=tuple(Completion(text=t) for t in texts))
    scoring = Scoring.model_validate({"rewards": [reward]})
    assert [score.reward for score in score_group(group, scoring).scores_G] == [1.0, 0.0, 0.0]
    sure = Scoring.model_validate({"rewards": [{**reward, "value": "probability"}]})
    values = [score.reward for score in score_group(group, sure).scores_G]
    assert values[0] > 0.9 and values[1] < 0.1 and values[2] == 0.0


def test_too_little_or_equal_texts_are_refused():
    with pytest.raises(DataError, match=r"at least 10 texts of each style; there are 3 and 81"):
        fit_judge(SKETCHES[:3], ESSAYS)
    with pytest.raises(DataError, match=r"1 texts are given as both styles"):
        fit_judge(SKETCHES, [*ESSAYS, SKETCHES[0]])


def test_a_missing_or_broken_judge_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no style judge at .*nowhere\.json"):
        load_judge(str(tmp_path / "nowhere.json"))
    (tmp_path / "broken.json").write_text('{"bias": 0}')
    with pytest.raises(DataError, match=r"is no style judge \(KeyError"):
        load_judge(str(tmp_path / "broken.json"))


def test_the_solvers_two_styles_are_told_apart():
    items = [make_item(Counting(), 4, index, index % 5) for index in range(200)]
    sketches = {item.trace().sketch for item in items}
    full = {item.trace().think for item in items} - sketches
    checks = fit_judge(sorted(sketches), sorted(full)).checks
    assert checks is not None and checks.auc > 0.95
