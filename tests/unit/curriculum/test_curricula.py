import json
from collections import Counter

import pytest
from pydantic import TypeAdapter

from observe_r1.curriculum import (
    Context,
    CurriculumConfig,
    Ladder,
    Pools,
    Rungs,
    Shuffled,
    build_curriculum,
)
from observe_r1.errors import DataError, RunError
from observe_r1.types import Completion, RolloutGroup, Sample, Score, ScoredGroup

CONFIGS = [Ladder(epochs=3), Shuffled(epochs=None), Rungs(window=4), Pools(), Context(num_phases=3)]


def make_samples(num: int = 60, levels: int = 6) -> list[Sample]:
    return [
        Sample(
            id=f"s{i}",
            question="? " * (i % 7),
            answer="1",
            kind="number",
            solve_rate=1 - (i * levels // num) / 8,
            complexity=20.0 + i % 11,
            level=i * levels // num,
            rung=i * levels // num,
            position=i,
        )
        for i in range(num)
    ]


def scored(sample: Sample, num_correct: int, size: int = 4) -> ScoredGroup:
    scores = tuple(
        Score(rewards={}, reward=0.0, correct=i < num_correct, well_formed=True)
        for i in range(size)
    )
    group = RolloutGroup(sample=sample, completions_G=(Completion(text=""),) * size)
    return ScoredGroup(rollout=group, scores_G=scores)


def play(curriculum, batches: int, n: int = 7) -> list[str]:
    """Draw and observe; how many are correct depends on the sample alone."""
    drawn = []
    for _ in range(batches):
        samples = curriculum.next_batch(n)
        drawn += [s.id for s in samples]
        curriculum.observe([scored(s, (int(s.id[1:]) * 7) % 5) for s in samples])
    return drawn


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type)
@pytest.mark.parametrize("stop_after", [1, 5, 12, 21])
def test_a_resumed_curriculum_draws_what_it_would_have_drawn(config, stop_after):
    samples = make_samples()
    whole = build_curriculum(config, samples, seed=5)
    expected = play(whole, 30)
    first = build_curriculum(config, samples, seed=5)
    drawn = play(first, stop_after)
    state = json.loads(json.dumps(first.state_dict()))
    second = build_curriculum(config, samples, seed=5)
    second.load_state_dict(state)
    assert drawn + play(second, 30 - stop_after) == expected
    assert second.metrics() == whole.metrics()
    assert second.state_dict() == whole.state_dict()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type)
def test_the_same_seed_draws_the_same_and_a_config_survives_json(config):
    again = TypeAdapter(CurriculumConfig).validate_json(config.model_dump_json())
    assert again == config
    one = play(build_curriculum(config, make_samples(), 1), 10)
    assert play(build_curriculum(again, make_samples(), 1), 10) == one


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type)
def test_a_state_of_other_samples_is_refused(config):
    state = build_curriculum(config, make_samples(), 0).state_dict()
    with pytest.raises(RunError, match="other samples"):
        build_curriculum(config, make_samples()[::-1], 0).load_state_dict(state)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type)
def test_an_empty_set_is_refused(config):
    with pytest.raises(DataError, match="no sample"):
        build_curriculum(config, [], 0)


def test_the_ladder_is_gone_through_in_order_once():
    samples = make_samples(20)
    curriculum = build_curriculum(Ladder(), samples[::-1], 0)
    drawn = [s.id for n in (8, 8, 8, 8) for s in curriculum.next_batch(n)]
    assert drawn == [f"s{i}" for i in range(20)]
    assert curriculum.next_batch(8) == []


def test_a_second_epoch_puts_what_turned_out_hard_at_the_end():
    samples = make_samples(12, levels=6)
    curriculum = build_curriculum(Ladder(epochs=2), samples, 0)
    for sample in curriculum.next_batch(12):
        hard = sample.id == "s0"
        for _ in range(20):
            curriculum.observe([scored(sample, 0 if hard else 4 - sample.level // 2)])
    second = [s.id for s in curriculum.next_batch(12)]
    assert sorted(second) == sorted(s.id for s in samples)
    assert second[-1] == "s0"
    assert curriculum.next_batch(1) == []


@pytest.mark.parametrize("config", [Ladder(), Rungs(), Context()], ids=lambda config: config.type)
def test_ordered_curricula_refuse_unprobed_samples_and_name_the_command(config):
    unprobed = [Sample(id=f"s{i}", question="?", answer="1", kind="number") for i in range(3)]
    with pytest.raises(DataError, match="data probe"):
        build_curriculum(config, unprobed, 0)


def test_shuffled_and_pools_take_unprobed_samples():
    unprobed = [Sample(id=f"s{i}", question="?", answer="1", kind="number") for i in range(9)]
    assert len(build_curriculum(Pools(), unprobed, 0).next_batch(4)) == 4
    shuffled = build_curriculum(Shuffled(epochs=2), unprobed, 0)
    drawn = Counter(s.id for _ in range(5) for s in shuffled.next_batch(4))
    assert set(drawn.values()) == {2} and len(drawn) == 9


def test_rungs_go_up_when_mastered_and_back_when_they_collapse():
    config = Rungs(advance_at=0.75, step_back_at=0.2, window=5, max_passes=None)
    curriculum = build_curriculum(config, make_samples(), 0)
    assert {s.rung for s in curriculum.next_batch(10)} == {0}
    curriculum.observe([scored(s, 4) for s in curriculum.next_batch(5)])
    assert {s.rung for s in curriculum.next_batch(10)} == {1}
    curriculum.observe([scored(s, 2) for s in curriculum.next_batch(5)])
    assert {s.rung for s in curriculum.next_batch(10)} == {1}
    curriculum.observe([scored(s, 0) for s in curriculum.next_batch(5)])
    assert {s.rung for s in curriculum.next_batch(10)} == {0}


def test_a_rung_shows_every_sample_once_a_pass_and_is_left_after_the_last_pass():
    curriculum = build_curriculum(Rungs(max_passes=2, window=999), make_samples(60), 0)
    drawn = Counter(s.id for _ in range(4) for s in curriculum.next_batch(5))
    assert set(drawn.values()) == {2} and len(drawn) == 10
    assert {s.rung for s in curriculum.next_batch(10)} == {1}


def test_a_threshold_that_contradicts_the_other_is_refused():
    with pytest.raises(ValueError, match="step_back_at"):
        Rungs(advance_at=0.3, step_back_at=0.5)


def test_pools_draw_by_their_shares_and_move_samples_as_they_are_learned():
    samples = [
        Sample(id=f"s{i}", question="?", answer="1", kind="number", solve_rate=rate)
        for i, rate in enumerate([0.0] * 40 + [0.5] * 40 + [1.0] * 40)
    ]
    curriculum = build_curriculum(Pools(shares=(0.25, 0.5, 0.25)), samples, 0)
    batch = curriculum.next_batch(20)
    assert Counter(s.solve_rate for s in batch) == {0.0: 5, 0.5: 10, 1.0: 5}
    for _ in range(8):
        curriculum.observe([scored(s, 2) for s in samples[:40]])
    assert curriculum.metrics()["curriculum/pool_0"] == 0
    assert Counter(s.solve_rate for s in curriculum.next_batch(20))[1.0] in (6, 7)


def test_pools_prefer_what_was_not_drawn_lately():
    samples = make_samples(30)
    curriculum = build_curriculum(Pools(shares=(0, 1, 0)), samples, 0)
    drawn = [s.id for _ in range(3) for s in curriculum.next_batch(8)]
    assert len(set(drawn)) == 24


def test_context_goes_from_short_to_long_and_replays_the_unsolved():
    samples = [
        Sample(id=f"s{i}", question="?", answer="1", kind="number", complexity=float(i))
        for i in range(40)
    ]
    curriculum = build_curriculum(Context(limits=(19.0,), replay=0.25), samples, 0)
    first = [s for _ in range(2) for s in curriculum.next_batch(10)]
    assert {s.id for s in first} == {f"s{i}" for i in range(20)}
    unsolved = {f"s{i}" for i in range(5)}
    for _ in range(30):
        curriculum.observe([scored(s, 0 if s.id in unsolved else 4) for s in first])
    replayed = Counter()
    fresh = []
    while batch := curriculum.next_batch(8):
        for s in batch:
            if s.complexity <= 19:
                replayed[s.id in unsolved] += 1
            else:
                fresh.append(s.id)
    assert sorted(fresh) == sorted(f"s{i}" for i in range(20, 40))
    assert replayed[True] > replayed[False]


def test_a_curriculum_reads_the_columns_of_a_data_folder(tmp_path):
    from observe_r1.data.store import read_samples, write_samples

    write_samples(tmp_path, make_samples(30))
    stored = play(build_curriculum(Ladder(), read_samples(tmp_path), 0), 4)
    assert stored == play(build_curriculum(Ladder(), make_samples(30), 0), 4)
