"""Two processes do what one does: loss, gradients and weights after plain SGD steps, to 1e-5."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("two_processes.py")

pytestmark = pytest.mark.slow


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run(world: int, kind: str, out: Path) -> list[dict]:
    port = free_port()
    started = [
        subprocess.Popen([sys.executable, SCRIPT, str(rank), str(world), port, kind, out])
        for rank in range(world)
    ]
    assert [process.wait(timeout=600) for process in started] == [0] * world
    return torch.load(out, weights_only=True)


def distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """Of all gradients together; one that is missing is zero."""
    squares = 0.0
    for name in one.keys() | two.keys():
        known = one.get(name, two.get(name))
        zero = torch.zeros_like(known)
        squares += float((one.get(name, zero) - two.get(name, zero)).square().sum())
    return squares**0.5


def test_rollouts_gathered_beside_an_update_do_not_meet_its_messages() -> None:
    port, script = free_port(), SCRIPT.with_name("two_gathers.py")
    started = [subprocess.Popen([sys.executable, script, str(r), port]) for r in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]


@pytest.mark.parametrize("kind", ["replicated", "sharded"])
def test_two_processes_equal_one(kind: str, tmp_path: Path) -> None:
    alone = run(1, "replicated", tmp_path / "alone")
    together = run(2, kind, tmp_path / "together")
    for one, two in zip(alone, together, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["norm"] == pytest.approx(one["norm"], rel=1e-5)
        assert distance(one["gradients"], two["gradients"]) <= 1e-5 * one["norm"]
        for name, weight in one["weights"].items():
            assert torch.allclose(two["weights"][name], weight, atol=1e-5, rtol=0), name
