"""Two processes do what one does: loss, gradients and weights after plain SGD steps, to 1e-5."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import two_processes

SCRIPT = Path(__file__).with_name("two_processes.py")

CASES = [
    ("plain", "sharded"),  # in every run of the tests
    *(
        pytest.param(case, kind, marks=pytest.mark.slow)
        for case, kind in (
            ("plain", "replicated"), ("kl", "replicated"), ("kl", "sharded"),
            ("adapters", "replicated"), ("adapters", "sharded"), ("half", "sharded"),
        )
    ),
]  # fmt: skip


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start_two(kind: str, case: str, out: Path) -> list[subprocess.Popen[bytes]]:
    port = free_port()
    return [
        subprocess.Popen([sys.executable, SCRIPT, str(rank), "2", port, kind, case, out])
        for rank in range(2)
    ]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the two have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """Of all gradients together; one that is missing is zero."""
    squares = 0.0
    for name in one.keys() | two.keys():
        known = one.get(name, two.get(name))
        zero = torch.zeros_like(known)
        squares += float((one.get(name, zero) - two.get(name, zero)).square().sum())
    return squares**0.5


@pytest.mark.slow
def test_rollouts_gathered_beside_an_update_do_not_meet_its_messages() -> None:
    port, script = free_port(), SCRIPT.with_name("two_gathers.py")
    started = [subprocess.Popen([sys.executable, script, str(r), port]) for r in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]


@pytest.mark.parametrize(("case", "kind"), CASES)
def test_two_processes_equal_one(case: str, kind: str, tmp_path: Path, one_thread: None) -> None:
    """With a frozen copy to look back to, with adapters switched off for that, with several
    updates of a rollout, with activations computed again."""
    started = start_two(kind, case, tmp_path / "together")
    two_processes.main(0, 1, "", "replicated", case, str(tmp_path / "alone"))
    assert [process.wait(timeout=600) for process in started] == [0, 0]
    alone = torch.load(tmp_path / "alone", weights_only=True)
    together = torch.load(tmp_path / "together", weights_only=True)
    assert any(one["norm"] > 0 for one in alone)
    share = 0.02 if case == "half" else 1e-5  # micro-batches of other rows round otherwise
    for one, two in zip(alone, together, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=share)
        assert two["norm"] == pytest.approx(one["norm"], rel=share)
        assert distance(one["gradients"], two["gradients"]) <= share * one["norm"]
        assert {value.dtype for value in two["gradients"].values()} <= {torch.float32}
        for name, weight in one["weights"].items():
            assert torch.allclose(two["weights"][name], weight, atol=share, rtol=0), name
