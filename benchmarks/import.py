"""Import speed and memory: many small JPEG files and a JSON-lines table → a data folder.

    python benchmarks/import.py --images 10000

Wanted: 200 images a second or more on two cores, and memory that does not grow with the source.
"""

import argparse
import io
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from observe_r1.data.importing import ImportConfig, import_rows
from observe_r1.data.sources import get_adapter
from observe_r1.data.sources.files import find_rows


def write_source(folder: Path, count: int, size: int) -> None:
    """Smooth random pictures: they compress like photographs, and no two are equal."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    with open(folder / "rows.jsonl", "w") as file:
        for number in range(count):
            coarse = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(coarse).resize((size, size)).save(buffer, "JPEG", quality=85)
            (folder / "images" / f"{number}.jpg").write_bytes(buffer.getvalue())
            row = {"id": number, "question": f"What is shown in picture {number}?",
                   "answer": str(number % 17), "image": f"images/{number}.jpg"}  # fmt: skip
            file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=448, help="pixels a side")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch, "source"), Path(scratch, "out")
        source.mkdir()
        write_source(source, arguments.images, arguments.size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        report = import_rows(find_rows(source), get_adapter("table"), out, ImportConfig())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert report.accepted == arguments.images, report
    rate, cpu_rate = report.accepted / wall, report.accepted / cpu
    print(f"{report.accepted:,} images, {arguments.size} pixels a side, in {wall:.1f} s")
    print(f"{rate:.0f} images a second, {cpu_rate:.0f} a CPU second")
    print(f"memory grew by {grown:.0f} MB")


if __name__ == "__main__":
    main()
