"""What the first process does alone, and how the others wait for it."""

import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.errors import RunError
from observe_r1.shared import claims
from observe_r1.shared.claims import Silences
from observe_r1.stages import waiting
from observe_r1.stages.handover import Handover
from observe_r1.stages.waiting import alive, done_by_first
from observe_r1.train.distribute import PEER_MINUTES


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "SIGN_SECONDS", 0.05)


def as_process(monkeypatch: pytest.MonkeyPatch, rank: int, *, minutes: float) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv(PEER_MINUTES, str(minutes))


def test_the_first_process_works_and_leaves_no_sign(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_process(monkeypatch, 0, minutes=1)
    result = tmp_path / "stage" / "traces.jsonl"

    def work() -> None:
        result.parent.mkdir(exist_ok=True)
        result.touch()

    done_by_first(work, result.parent, result.name)
    assert [path.name for path in result.parent.iterdir()] == ["traces.jsonl"]


def test_the_others_wait_longer_than_their_patience_while_there_are_signs_of_life(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_process(monkeypatch, 1, minutes=1)
    folder = tmp_path / "stage"
    folder.mkdir()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        """Most of the patience goes by; meanwhile the first process gives a sign, or ends."""
        slept.append(seconds)
        (folder / ".alive").write_text(str(len(slept)))
        if len(slept) == 5:
            (folder / "traces.jsonl").touch()

    monkeypatch.setattr(waiting, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(claims, "Silences", partial(Silences, lambda: 50.0 * len(slept)))
    done_by_first(lambda: pytest.fail("only the first works"), folder, "traces.jsonl")
    assert len(slept) == 5


def test_a_sign_of_life_changes_until_the_work_ends(tmp_path: Path) -> None:
    sign, seen = tmp_path / "stage" / ".alive", set[str]()
    with alive(sign):
        until = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < until:
            seen |= {sign.read_text()} if sign.exists() else set()
            time.sleep(0.01)
    assert len(seen) >= 3
    assert not sign.exists()


def test_silence_ends_the_others_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_process(monkeypatch, 1, minutes=0.1 / 60)
    with pytest.raises(RunError, match="--resume"):
        done_by_first(lambda: None, tmp_path, "traces.jsonl")


def test_adapters_are_merged_by_the_first_process_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two that merge into one folder delete each other's half-written model."""
    adapters, folder = tmp_path / "adapters", tmp_path / "2-rl"
    adapters.mkdir()
    (adapters / "adapter_config.json").write_text("{}")
    monkeypatch.setattr(Handover, "weights", lambda self, start_from, stage: str(adapters))
    as_process(monkeypatch, 1, minutes=0.1 / 60)
    stage = RLStage.build({"policy": {"lora": {"rank": 2}}}, "test")
    run = RunConfig.build(
        {"recipe": "test", "preset": "full", "model": "tiny", "data": "puzzles", "stages": [stage]},
        "test",
    )
    with pytest.raises(RunError, match="process 0 has neither written"):
        Handover(run, tmp_path).start(stage, folder)
    (folder / "start").mkdir(parents=True)
    assert Handover(run, tmp_path).start(stage, folder) == str(folder / "start")
