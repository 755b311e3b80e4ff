"""How long exporting a folder for verl takes: 20,000 questions with a picture each.

    python benchmarks/export_verl.py                      the claim: under 60 seconds
    python benchmarks/export_verl.py --questions 500      quick

Reports the time of the export alone, of making the data before it, and the size of the folder.
"""

import argparse
import io
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from observe_r1.cli.main import call
from observe_r1.data.store import write_samples
from observe_r1.types import Sample


def picture(number: int, side: int) -> bytes:
    """A picture that compresses about as well as a diagram does."""
    rng = random.Random(number)
    image = Image.new("RGB", (side, side), "white")
    for _ in range(12):
        x, y = rng.randrange(side), rng.randrange(side)
        color = tuple(rng.randrange(256) for _ in range(3))
        image.paste(color, (x, y, min(side, x + side // 5), min(side, y + side // 7)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def questions(count: int, side: int) -> Iterator[Sample]:
    for number in range(count):
        yield Sample(
            id=f"q{number}",
            question=f"Picture {number}: how many coloured rectangles does it show?",
            answer=str(number % 13),
            kind="number",
            images=(picture(number, side),),
            source="benchmark",
            family="counting",
            solve_rate=(number % 9) / 8,
            complexity=100.0 + number % 50,
            level=8 - number % 9,
            rung=number * 9 // count,
            position=number,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=448, help="pixels of a picture's side")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data, out = Path(scratch) / "ladder", Path(scratch) / "cluster"
        began = time.perf_counter()
        write_samples(data, questions(arguments.questions, arguments.side))
        made = time.perf_counter()
        status = call(
            ["export", "verl", "observe_r1", "--preset", "full", "--data", str(data),
             "--model", "Qwen/Qwen2.5-VL-3B-Instruct", "--out", str(out)]
        )  # fmt: skip
        seconds = time.perf_counter() - made
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(
        f"{arguments.questions:,} questions with a picture of {arguments.side} × {arguments.side}: "
        f"exported in {seconds:.1f} s ({size / 1e6:,.0f} MB), status {status}; "
        f"making the data took {made - began:.1f} s"
    )


if __name__ == "__main__":
    main()
