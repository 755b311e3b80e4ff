"""Which questions a stage asks."""

from dataclasses import replace

import pytest

from observe_r1.config.questions import Questions
from observe_r1.config.teach import SolverTeacher
from observe_r1.data.puzzles import get_family, make_sample
from observe_r1.data.puzzles.variation import Variation
from observe_r1.data.store import write_samples
from observe_r1.errors import ConfigError, DataError
from observe_r1.stages.questions import choose_questions, puzzle_level
from observe_r1.stages.solver import item_of, solve
from observe_r1.types import Sample


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    samples = [
        replace(make_sample(family, 1, index, index % 3), solve_rate=index / 8 if index else None)
        for family in ("counting", "dice")
        for index in range(8)
    ]
    write_samples(folder, samples)
    return str(folder)


def ids(wanted: Questions, data: str) -> list[str]:
    return [sample.id for sample in choose_questions(wanted, data)]


def test_the_data_of_the_run_unless_something_else_is_said(data: str) -> None:
    assert len(ids(Questions(), data)) == 16
    assert len(ids(Questions(source=data), "elsewhere")) == 16


def test_by_family_level_and_solve_rate(data: str) -> None:
    found = ids(Questions(families=("dice",), puzzle_levels=(0,)), data)
    assert found == ["puzzles-dice-0-1-0", "puzzles-dice-0-1-3", "puzzles-dice-0-1-6"]
    hard = choose_questions(Questions(solve_rate=(0.0, 0.25)), data)
    assert {sample.solve_rate for sample in hard} == {0.125, 0.25}, "the unprobed are left out"


def test_a_count_is_spread_evenly(data: str) -> None:
    assert ids(Questions(count=4), data) == [ids(Questions(), data)[i] for i in (0, 4, 8, 12)]
    assert len(ids(Questions(count=99), data)) == 16


def test_fresh_puzzles_of_any_family() -> None:
    wanted = Questions(source="puzzles", stream=9, families=("knights",), count=3)
    found = choose_questions(wanted, "unused")
    assert [sample.family for sample in found] == ["knights"] * 3
    assert found == choose_questions(wanted, "unused")
    easy = Questions(
        source="puzzles", stream=9, families=("counting",), count=3, puzzle_levels=(0,)
    )
    assert {puzzle_level(sample.id) for sample in choose_questions(easy, "")} == {0}


def test_what_cannot_be_chosen_is_refused(data: str) -> None:
    with pytest.raises(DataError, match="none of the 16 questions"):
        ids(Questions(families=("clock",)), data)
    with pytest.raises(ConfigError, match="levels 0 to"):
        ids(Questions(source="puzzles", stream=1, count=1, puzzle_levels=(99,)), data)
    with pytest.raises(ValueError, match="has no end"):
        Questions(source="puzzles", stream=1)
    with pytest.raises(ValueError, match="a stream is of puzzles"):
        Questions(stream=1, count=2)


@pytest.mark.parametrize("variation", [Variation(), Variation(shortcut=True, context_sentences=2)])
def test_a_puzzle_is_found_again_by_its_id(variation: Variation) -> None:
    sample = make_sample("counting", 5, 3, 2, variation)
    item = item_of(replace(sample, metadata={}))
    assert item.question == sample.question
    assert item.ask.answer == sample.answer


def test_a_question_that_is_no_puzzle_has_no_solver() -> None:
    with pytest.raises(DataError, match="is no puzzle"):
        item_of(Sample(id="mathvista-1", question="?", answer="1", kind="number"))
    changed = replace(make_sample("counting", 5, 3, 2), question="Another question?")
    with pytest.raises(DataError, match="asks another question than this version makes"):
        item_of(changed)


def test_the_solver_can_be_careless_and_go_back(data: str) -> None:
    samples = [make_sample("counting", 6, index, 3) for index in range(12)]

    def rows(**settings: object) -> list:
        teacher = SolverTeacher(**settings)
        return [
            solve(s, teacher, grammar="think_answer", number=0, seed=0, stage="t") for s in samples
        ]

    assert all(row.correct for row in rows())
    careless = rows(careless=1.0)
    assert not all(row.correct for row in careless)
    assert all(row.correct for row in rows(moves="reflect"))
    assert all("Wait" in row.response for row in rows(moves="reflect"))
    sketched, full = rows(style="sketch"), rows()
    assert sum(len(r.response) for r in sketched) < sum(len(r.response) for r in full)
    assert get_family("counting").levels and rows()[0].difficulty == 3 / 4
