"""Which verl this plug-in is written for, and whether that is what is installed.

    python -m observe_r1.integrations.verl.versions      one line a problem, exit status 2

``run.sh`` asks before it starts anything; the plug-in asks again in every process of the run.
"""

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

VERL = ((0, 9, 1), (0, 10))
TRANSFORMERS = ((5, 5, 3), (5, 11))
PYTHON = ((3, 11), (3, 13))
NEEDED = ("ray", "hydra-core", "tensordict", "TransferQueue", "torch")
INSTALL = "pip install 'observe-r1[verl]' into an environment of its own (see docs/verl.md)"

Version = tuple[int, ...]


def problems(installed: Callable[[str], str] = version) -> list[str]:
    """Everything that keeps a run from starting here, in sentences."""
    found = [
        *_python(),
        *_range("verl", VERL, installed),
        *_range("transformers", TRANSFORMERS, installed),
    ]
    return found + [
        f"{name} is not installed: {INSTALL}." for name in NEEDED if _find(name, installed) is None
    ]


def verl_problem(found: str) -> str | None:
    """What is wrong with an installed version of verl."""
    if VERL[0] <= _numbers(found) < VERL[1]:
        return None
    return (
        f"verl {found} is installed, but this plug-in is written for verl {_range_text(VERL)}: its "
        f"doors move from version to version. {INSTALL}, or use an observe-r1 made for "
        f"verl {found}."
    )


def _python() -> list[str]:
    here = sys.version_info[:3]
    if PYTHON[0] <= here < PYTHON[1]:
        return []
    return [f"Python {'.'.join(map(str, here))} runs, but verl needs {_range_text(PYTHON)}."]


def _range(
    name: str, wanted: tuple[Version, Version], installed: Callable[[str], str]
) -> list[str]:
    found = _find(name, installed)
    if found is None:
        return [f"{name} is not installed: {INSTALL}."]
    if name == "verl":
        problem = verl_problem(found)
        return [problem] if problem else []
    if wanted[0] <= _numbers(found) < wanted[1]:
        return []
    return [f"{name} {found} is installed, but verl needs {_range_text(wanted)}. {INSTALL}."]


def _find(name: str, installed: Callable[[str], str]) -> str | None:
    try:
        return installed(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> Version:
    """ "0.9.1.dev3+cpu" → (0, 9, 1)"""
    parts = []
    for part in text.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _range_text(wanted: tuple[Version, Version]) -> str:
    low, high = (".".join(map(str, numbers)) for numbers in wanted)
    return f"{low} or newer and below {high}"


if __name__ == "__main__":
    found = problems()
    for line in found:
        print(f"observe-r1: {line}", file=sys.stderr)
    sys.exit(2 if found else 0)
