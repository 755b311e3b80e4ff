"""Questions and exported folders for the tests of the verl plug-in."""

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from observe_r1.cli.main import call
from observe_r1.data.store import write_samples
from observe_r1.types import Sample


def picture(shade: int, size: tuple[int, int] = (56, 56)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 90, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def sums(count: int, *, first: int = 0) -> list[Sample]:
    """A ladder of sums, each with a picture, stored hardest first; every fourth has none."""
    found = []
    for n in range(first, first + count):
        found.append(
            Sample(
                id=f"sum-{n}",
                question=f"What is {n} plus {n + 1}?",
                answer=str(2 * n + 1),
                kind="number",
                images=() if n % 4 == 3 else (picture(n),),
                source="sums",
                family="addition",
                solve_rate=0.5,
                complexity=10.0 + n,
                level=n % 9,
                rung=n // 4,
                position=n,
                metadata={"addends": [n, n + 1]},
            )
        )
    return found[::-1]


def write_ladder(folder: Path, count: int = 24, *, first: int = 0) -> str:
    write_samples(folder, sums(count, first=first))
    return str(folder)


def export(folder: Path, *arguments: str, recipe: str = "observe_r1") -> Path:
    """A folder exported by the command line; ``arguments`` are options and overrides."""
    data = write_ladder(folder / "ladder")
    out = folder / "cluster"
    status = call(["export", "verl", recipe, "--data", data, "--out", str(out), *arguments])
    assert status == 0
    return out


def plan_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "plan.json").read_text())
