from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.mixing import allot, mixing_matrix, round_to_total, window_start
from observe_r1.errors import DataError
from observe_r1.types import Sample


def sample(index: int, level: int | None, complexity: float = 50.0) -> Sample:
    solve_rate = None if level is None else 1 - level / 8
    return Sample(
        id=f"s{index:05d}", question="?", answer="1", kind="number",
        solve_rate=solve_rate, complexity=None if level is None else complexity, level=level,
    )  # fmt: skip


def graded(num: int, seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [sample(i, int(rng.integers(9)), float(rng.integers(10, 90))) for i in range(num)]


def test_the_window_shifts_inward_at_the_ends():
    assert [window_start(rung) for rung in range(9)] == [0, 0, 0, 1, 2, 3, 4, 4, 4]


def test_the_papers_rows_sum_to_one_and_stay_within_their_windows():
    matrix = mixing_matrix("paper", np.full(9, 100))
    assert np.allclose(matrix.sum(axis=1), 1.0)
    assert matrix[4, 4] == pytest.approx(0.58, abs=0.01)
    assert np.all(matrix[0, 5:] == 0) and np.all(matrix[8, :4] == 0)


def test_a_smaller_ladder_has_exactly_the_papers_mix():
    available = (
        np.array([0.015, 0.035, 0.05, 0.075, 0.135, 0.15, 0.15, 0.2, 0.19]) * 20_000
    ).astype(int)
    counts = allot(available, "paper", 16_000)
    assert counts.sum() == 16_000
    realised = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(realised - mixing_matrix("paper", available)).max() < 0.01


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 60), min_size=9, max_size=9),
    st.sampled_from(["paper", "proportional", "none"]),
    st.floats(0.05, 1.0),
)
def test_no_level_is_asked_for_more_than_it_has(available, mixing, share):
    available = np.array(available)
    size = int(share * available.sum())
    counts = allot(available, mixing, size)
    assert counts.sum() == size
    assert np.all(counts >= 0) and np.all(counts.sum(axis=0) <= available)
    for rung in range(9):
        outside = np.delete(counts[rung], np.arange(5) + window_start(rung))
        assert outside.sum() == 0


def test_rounding_keeps_the_total():
    assert round_to_total(np.array([1.0, 1.0, 1.0]), 4).sum() == 4
    assert round_to_total(np.array([9.0, 1.0]), 5, np.array([3, 9])).tolist() == [3, 2]


def test_every_sample_is_used_once_and_the_order_of_the_input_does_not_matter():
    samples = graded(400)
    config = LadderConfig(unsolved="keep", easy_cut=0.0)
    ladder = build_ladder(samples, config=config, seed=3)
    ids = [s.id for s in ladder.samples(samples)]
    assert sorted(ids) == sorted(s.id for s in samples)
    backwards = samples[::-1]
    again = build_ladder(backwards, config=config, seed=3)
    assert [s.id for s in again.samples(backwards)] == ids
    other = build_ladder(samples, config=config, seed=4)
    assert [s.id for s in other.samples(samples)] != ids


def test_the_mean_level_rises_from_rung_to_rung():
    samples = graded(3000)
    ladder = build_ladder(samples, config=LadderConfig(unsolved="keep"))
    means = [ladder.levels[ladder.rungs == rung].mean() for rung in range(9)]
    assert all(low < high for low, high in pairwise(means))
    assert np.all(np.diff(ladder.rungs) >= 0)


def test_within_a_rung_each_level_goes_from_short_to_long():
    samples = graded(1000)
    ladder = build_ladder(samples, config=LadderConfig(unsolved="keep"))
    for rung in range(9):
        for level in range(9):
            lengths = ladder.complexities[(ladder.rungs == rung) & (ladder.levels == level)]
            assert np.all(np.diff(lengths) >= 0)


def test_easy_ones_below_the_cut_are_dropped_and_unsolved_ones_held():
    samples = [sample(0, 0, 5.0), sample(1, 0, 80.0), sample(2, 4), sample(3, 8), sample(4, None)]
    ladder = build_ladder(samples, config=LadderConfig(easy_cut=20.0))
    assert sorted(s.id for s in ladder.samples(samples)) == ["s00001", "s00002"]
    table = ladder.table()
    assert sum(table.values()) == len(samples)
    assert table["dropped: always solved with a short chain"] == 1
    assert table["held for review: never solved"] == 1
    assert table["left out: not probed"] == 1


def test_without_a_cut_the_shorter_half_of_the_always_solved_goes():
    samples = [sample(i, 0, float(i)) for i in range(10)]
    assert len(build_ladder(samples)) == 5


def test_a_reviewer_releases_or_drops_a_held_sample():
    samples = [sample(0, 8), sample(1, 8), sample(2, 8), sample(3, 4)]
    ladder = build_ladder(samples, decisions={"s00000": "keep", "s00001": "drop"})
    assert sorted(s.id for s in ladder.samples(samples)) == ["s00000", "s00003"]
    assert ladder.table()["dropped in review"] == 1


def test_samples_answered_directly_are_dropped():
    samples = [sample(0, 3), sample(1, 3)]
    ladder = build_ladder(samples, answered_directly={"s00000"})
    assert [s.id for s in ladder.samples(samples)] == ["s00001"]


def test_the_ladder_numbers_its_samples():
    samples = graded(50)
    arranged = list(build_ladder(samples).samples(samples))
    assert [s.position for s in arranged] == list(range(len(arranged)))
    assert all(s.rung is not None and abs(s.rung - s.level) <= 4 for s in arranged)


def test_unprobed_samples_are_refused_by_name_of_the_command():
    with pytest.raises(DataError, match="data probe"):
        build_ladder([sample(0, None)])
