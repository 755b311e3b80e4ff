"""Is a ladder repeatable? Probe puzzles twice with different seeds and compare.

    python benchmarks/reprobe.py --samples 5000 --out runs/reprobe

Prints the rank correlation of the two probes, the ceiling that the noise of so few rollouts allows
(from the fitted distribution of solve rates) and their ratio; and the mean solve rate in the second
probe of each level of the first, which has to fall from level to level. Stop it and start it again
as you like, by hand or with ``--minutes``: nothing is probed twice.
"""

import argparse
import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from observe_r1.process import settle_process

settle_process()  # as the command line does

import numpy as np

from observe_r1.config.rollout import Sampling
from observe_r1.data.agreement import compare_probes
from observe_r1.data.difficulty import Difficulty
from observe_r1.data.importing import import_rows
from observe_r1.data.open_source import open_source
from observe_r1.data.store import SampleSet, read_samples
from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_results
from observe_r1.stages.engines import open_engine

SEEDS = (1, 2)
BLOCK = 128


def probe_twice(
    samples: SampleSet, folder: Path, model: str, config: ProbeConfig, minutes: float
) -> None:
    """Both probes block by block, so that what a stop leaves behind can be compared too."""
    end = time.monotonic() + 60 * minutes
    with ExitStack() as opened:
        engine = opened.enter_context(open_engine(model))
        identity = config.identity(model)
        stores = {s: opened.enter_context(ProbeStore(store_of(folder, s), identity)) for s in SEEDS}
        for start in range(0, len(samples), BLOCK):
            block = list(samples[start : start + BLOCK])
            for seed, store in stores.items():
                probe(block, engine, config.model_copy(update={"seed": seed}), store)
            if time.monotonic() > end:
                return


def store_of(folder: Path, seed: int) -> Path:
    return folder / f"probe-{seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=math.inf, help="go on another time")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    if not (arguments.out / "ladder.json").exists():
        drawn = arguments.samples + arguments.samples // 10  # a few turn out to be duplicates
        rows, adapter = open_source("puzzles", "puzzles", limit=drawn, seed=11)
        import_rows(rows, adapter, arguments.out, overwrite=True)
    config = ProbeConfig(
        rollouts=arguments.rollouts,
        direct=False,
        batch_size=32,
        sampling=Sampling(max_new_tokens=arguments.max_tokens),
    )
    samples = read_samples(arguments.out)[: arguments.samples]
    probe_twice(samples, arguments.out, arguments.model, config, arguments.minutes)
    first, second = (read_results(store_of(arguments.out, s)).difficulty for s in SEEDS)
    compare({i: (first[i], second[i]) for i in sorted(first) if i in second}, arguments.rollouts)


def compare(found: Mapping[str, tuple[Difficulty, Difficulty]], rollouts: int) -> None:
    counts = np.array([[one.num_correct for one in pair] for pair in found.values()]).T
    agreement = compare_probes(*counts, rollouts=rollouts)
    print(f"{len(found):,} puzzles, {rollouts} rollouts each, probed twice")
    print(f"rank correlation {agreement.correlation:.4f}, ceiling {agreement.ceiling:.4f}, "
          f"share of the ceiling {agreement.share:.3f} "
          f"(solve rates {agreement.mean_rate:.2f} ± {agreement.spread:.2f})")  # fmt: skip
    levels = np.array([first.level for first, _ in found.values()])
    rates = np.array([second.solve_rate for _, second in found.values()])
    for level in np.unique(levels):
        chosen = levels == level
        print(f"level {level}: {chosen.sum():5d} samples, solve rate {rates[chosen].mean():.3f}")
    means = [rates[levels == level].mean() for level in np.unique(levels)]
    print(f"strictly falling from level to level: {bool(np.all(np.diff(means) < 0))}")


if __name__ == "__main__":
    main()
