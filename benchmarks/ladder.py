"""Ladder speed and memory over the metadata of a million probed samples.

    python benchmarks/ladder.py --samples 1000000

Wanted: under 60 seconds and 2 GB, from the data folder to the order, the filters and the rungs.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from observe_r1.data.difficulty import level_of
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.store import read_samples, write_samples
from observe_r1.types import Sample


def probed(count: int) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    correct = rng.binomial(8, rng.beta(0.8, 1.0, count))
    lengths = rng.gamma(4.0, 50.0, count)
    for number in range(count):
        k = int(correct[number])
        yield Sample(
            id=f"sample-{number}", question="How many?", answer="3", kind="number",
            solve_rate=k / 8, complexity=float(lengths[number]), level=level_of(k, 8),
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_samples(Path(scratch), probed(arguments.samples))
        start, cpu = time.perf_counter(), time.process_time()
        samples = read_samples(scratch)
        ladder = build_ladder(samples, config=LadderConfig(size=20_000), seed=0)
        small, small_cpu = time.perf_counter() - start, time.process_time() - cpu
        start, cpu = time.perf_counter(), time.process_time()
        whole = build_ladder(samples, config=LadderConfig(), seed=0)
        large, large_cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{arguments.samples:,} samples → {len(ladder):,} in order: {small:.1f} s, "
        f"{small_cpu:.1f} s of CPU"
    )
    print(
        f"{arguments.samples:,} samples → {len(whole):,} in order: {large:.1f} s, "
        f"{large_cpu:.1f} s of CPU"
    )
    print(f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
