"""Mismatched versions are named before anything starts."""

import re
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from observe_r1.integrations.verl.versions import problems, verl_problem

GOOD = {
    "verl": "0.9.1", "transformers": "5.9.0", "ray": "2.60.0", "hydra-core": "1.3.2",
    "tensordict": "0.10.0", "TransferQueue": "0.1.11", "torch": "2.11.0+cu130",
}  # fmt: skip


def installed(**changes):
    known = {**GOOD, **changes}

    def find(name: str) -> str:
        if known.get(name) is None:
            raise PackageNotFoundError(name)
        return known[name]

    return find


@pytest.fixture
def python_312(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 4, "final", 0))


@pytest.mark.usefixtures("python_312")
def test_the_versions_it_was_written_for_are_welcome():
    assert problems(installed()) == []
    assert problems(installed(verl="0.9.5.dev1", transformers="5.5.3")) == []


@pytest.mark.usefixtures("python_312")
@pytest.mark.parametrize(
    ("name", "found", "message"),
    [
        ("verl", "0.8.2", "verl 0.8.2 is installed, but this plug-in is written for verl 0.9.1"),
        ("verl", "0.10.0", "its doors move from version to version"),
        ("verl", None, "verl is not installed: pip install 'observe-r1\\[verl\\]'"),
        (
            "transformers",
            "5.23.0",
            "transformers 5.23.0 is installed, but verl needs 5.5.3 or newer",
        ),
        ("TransferQueue", None, "TransferQueue is not installed"),
    ],
)
def test_each_mismatch_is_one_sentence(name, found, message):
    (problem,) = problems(installed(**{name: found}))
    assert re.search(message, problem)


def test_a_python_that_verl_does_not_know(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
    (problem,) = problems(installed())
    assert problem == "Python 3.13.1 runs, but verl needs 3.11 or newer and below 3.13."


def test_the_plug_in_asks_verl_itself():
    assert verl_problem("0.9.1") is None
    assert "0.7.0" in str(verl_problem("0.7.0"))
