"""Scoring a group: parts by name, the bonus, and what happens when a reward fails."""

import textwrap
from pathlib import Path

import pytest
from attempts import RIGHT, WRONG, rollout, scored
from pydantic import ValidationError

from observe_r1.errors import ConfigError, TrainingError
from observe_r1.rewards import Bonus, Scoring, score_group

UNFORMATTED = "<answer>3</answer>"


def bonuses(texts, lengths, **settings) -> list[float]:
    found = score_group(rollout(texts, lengths), Scoring(bonus=Bonus(**settings)))
    return [score.bonus for score in found.scores_G]


def test_every_part_is_kept_by_name_and_adds_up() -> None:
    group = score_group(rollout([RIGHT, WRONG], [150, 150]), Scoring(bonus=Bonus()))
    right, wrong = group.scores_G
    assert right.rewards == {"accuracy": 1.0, "format": 0.5} and right.bonus == 0.2
    assert right.reward == pytest.approx(1.7) and right.answer == "3"
    assert wrong.reward == 0.5 and not wrong.correct and wrong.well_formed
    assert group.solve_rate == 0.5


def test_correctness_does_not_depend_on_the_rewards_in_use() -> None:
    scoring = Scoring.model_validate({"rewards": [{"type": "repetition"}]})
    assert scored([RIGHT], scoring).solve_rate == 1.0


def test_the_bonus_goes_to_the_shortest_correct_and_well_formed() -> None:
    assert bonuses([WRONG, RIGHT, RIGHT], [101, 150, 120]) == [0.0, 0.0, 0.2]
    assert bonuses([UNFORMATTED, RIGHT], [101, 150]) == [0.0, 0.2]


def test_the_floor_is_not_passed_by_a_longer_answer() -> None:
    assert bonuses([RIGHT, RIGHT], [100, 150]) == [0.0, 0.0]
    assert bonuses([RIGHT, RIGHT], [101, 150]) == [0.2, 0.0]
    assert bonuses([RIGHT, RIGHT], [20, 150], floor=10) == [0.2, 0.0]


def test_the_ceiling_ends_the_bonus() -> None:
    assert bonuses([RIGHT], [150], ceiling=150) == [0.2]
    assert bonuses([RIGHT], [151], ceiling=150) == [0.0]
    with pytest.raises(ValidationError, match="ceiling 50 is not above floor 100"):
        Bonus(ceiling=50)


def test_ties_share_and_no_correct_answer_gives_none() -> None:
    assert bonuses([RIGHT] * 4, [150, 150, 150, 150]) == [0.05] * 4
    assert bonuses([WRONG] * 4, [150] * 4) == [0.0] * 4


def test_a_bonus_given_afterwards_is_in_the_total_and_marked() -> None:
    group = score_group(rollout([RIGHT], [150]), Scoring(bonus=Bonus(when="after")))
    assert group.scores_G[0].bonus_after and group.scores_G[0].reward == pytest.approx(1.7)


def write(tmp_path, body: str) -> str:
    (tmp_path / "my.py").write_text(body)
    return f"{tmp_path}/my.py:mine"


def user(path: str) -> Scoring:
    return Scoring.model_validate({"rewards": [{"type": "user", "path": path}]})


def test_a_users_function_sees_the_attempt(tmp_path) -> None:
    path = write(
        tmp_path,
        "def mine(attempt):\n"
        "    return 2.0 * attempt.correct + len(attempt.response.sections['think'])\n",
    )
    score = scored([RIGHT], user(path)).scores_G[0]
    assert score.rewards == {"mine": 3.0}


def test_the_example_of_the_data_page_reads_a_column_that_was_kept(tmp_path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    start = page.index("    def names_objects")
    body = textwrap.dedent(page[start : page.index("\n\n", start)])
    (tmp_path / "my.py").write_text(body)
    scoring = Scoring.model_validate(
        {
            "rewards": [{"type": "user", "path": f"{tmp_path}/my.py:names_objects"}],
            "grammar": "observe_think_answer",
        }
    )
    texts = [f"<observe>a Red cube</observe>{RIGHT}", RIGHT]
    found = scored(texts, scoring, metadata={"objects": ["red cube", "ball"]})
    assert [score.rewards["names_objects"] for score in found.scores_G] == [0.5, 0.0]


def test_a_reward_that_raises_stops_the_run_with_the_sample_that_caused_it(tmp_path) -> None:
    path = write(tmp_path, "def mine(attempt):\n    return 1 / 0\n")
    message = (
        r"reward 'mine' on sample 'counting-7', step 0, completion 0 \('<think>two and one"
        r".* raised ZeroDivisionError: division by zero \(my\.py, line 2\)"
    )
    with pytest.raises(TrainingError, match=message):
        scored([RIGHT], user(path))


def test_a_file_imports_what_lies_beside_it_and_says_where_it_fails(tmp_path) -> None:
    (tmp_path / f"beside_{tmp_path.name}.py").write_text("WORTH = 0.25\n")
    imports = f"from beside_{tmp_path.name} import WORTH\n"
    path = write(tmp_path, f"{imports}def mine(attempt):\n    return WORTH\n")
    assert scored([RIGHT], user(path)).scores_G[0].rewards == {"mine": 0.25}
    (tmp_path / "other.py").write_text("import math\nmath.no_such_thing\n")
    with pytest.raises(ConfigError, match=r"other\.py could not be run: .*\(other\.py, line 2\)"):
        scored([RIGHT], user(f"{tmp_path}/other.py:mine"))


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_a_reward_that_is_no_number_stops_the_run(tmp_path, value: str) -> None:
    path = write(tmp_path, f"def mine(attempt):\n    return {value}\n")
    with pytest.raises(TrainingError, match="must be a finite number"):
        scored([RIGHT], user(path))


def test_a_users_file_or_function_that_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        scored([RIGHT], user(f"{tmp_path}/none.py:mine"))
    path = write(tmp_path, "yours = 1\n")
    with pytest.raises(ConfigError, match=r"my.py has no function 'mine'"):
        scored([RIGHT], user(path))
    with pytest.raises(ValidationError, match="path"):
        user("my_reward")


def test_an_unknown_grammar_and_no_rewards_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"no grammar named 'v9'. Known grammars"):
        Scoring(grammar="v9")
    with pytest.raises(ValidationError, match="rewards is empty"):
        Scoring(rewards=())
