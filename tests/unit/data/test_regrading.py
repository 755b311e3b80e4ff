import pytest

from observe_r1.data.ladder import build_ladder
from observe_r1.data.regrading import regrade_by_run
from observe_r1.errors import DataError
from observe_r1.records import append_rows
from observe_r1.types import Sample


def sample(name: str, rate: float | None) -> Sample:
    known = (
        {}
        if rate is None
        else {"solve_rate": rate, "complexity": 40.0, "level": round(8 - 8 * rate)}
    )
    return Sample(id=name, question="?", answer="1", kind="number", **known)


def write_run(folder, correct: dict[str, list[bool]]) -> None:
    rows = [
        {"step": 1, "sample_id": i, "correct": c, "num_tokens": 20}
        for i, found in correct.items()
        for c in found
    ]
    append_rows(folder / "rollouts.jsonl", rows)


def test_the_rollouts_of_a_run_move_samples_to_other_levels(tmp_path):
    samples = [sample("learned", 0.25), sample("unseen", 0.5), sample("new", None)]
    write_run(tmp_path, {"learned": [True] * 24, "new": [False] * 16})
    graded = regrade_by_run(samples, tmp_path)
    # 2 of 8 before and 24 of 24 since: 26 of 32, so d = 6.5 / 33 and the level round(8 d) = 2.
    assert graded["learned"].level == 2 and graded["learned"].complexity == 25.0
    assert graded["unseen"].level == 4 and graded["unseen"].solve_rate == 0.5
    assert graded["new"].level == 8
    assert len(build_ladder(samples, graded)) == 2


def test_a_folder_without_rollouts_is_no_run(tmp_path):
    with pytest.raises(DataError, match=r"no rollouts\.jsonl"):
        regrade_by_run([sample("a", 0.5)], tmp_path)
