"""Is a ladder repeatable? Probe puzzles twice with different seeds and compare.

    python benchmarks/reprobe.py --samples 5000 --out runs/reprobe

Prints the rank correlation of the two probes, the ceiling that the noise of so few rollouts allows
(from the fitted distribution of solve rates) and their ratio; and the mean solve rate in the second
probe of each level of the first, which has to fall from level to level. Stop it and start it again
as you like: nothing is probed twice.
"""

import argparse
from pathlib import Path

import numpy as np

from observe_r1.config.rollout import Sampling
from observe_r1.data.agreement import compare_probes
from observe_r1.data.difficulty import Difficulty
from observe_r1.data.importing import import_rows
from observe_r1.data.open_source import open_source
from observe_r1.data.store import read_samples
from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_results
from observe_r1.stages.engines import open_engine


def measure(folder: Path, model: str, seed: int, config: ProbeConfig) -> dict[str, Difficulty]:
    config = config.model_copy(update={"seed": seed})
    store = folder / f"probe-{seed}"
    with open_engine(model) as engine, ProbeStore(store, config.identity(model)) as rows:
        probe(read_samples(folder), engine, config, rows)
    return dict(read_results(store).difficulty)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    if not (arguments.out / "ladder.json").exists():
        rows, adapter = open_source("puzzles", "puzzles", limit=arguments.samples, seed=11)
        import_rows(rows, adapter, arguments.out, overwrite=True)
    config = ProbeConfig(
        rollouts=arguments.rollouts,
        direct=False,
        batch_size=32,
        sampling=Sampling(max_new_tokens=arguments.max_tokens),
    )
    first = measure(arguments.out, arguments.model, 1, config)
    second = measure(arguments.out, arguments.model, 2, config)
    ids = sorted(first)
    counts = [[found[i].num_correct for i in ids] for found in (first, second)]
    agreement = compare_probes(*counts, rollouts=arguments.rollouts)
    print(f"{len(ids):,} puzzles, {arguments.rollouts} rollouts each, probed twice")
    print(f"rank correlation {agreement.correlation:.4f}, ceiling {agreement.ceiling:.4f}, "
          f"share of the ceiling {agreement.share:.3f} "
          f"(solve rates {agreement.mean_rate:.2f} ± {agreement.spread:.2f})")  # fmt: skip
    levels = np.array([first[i].level for i in ids])
    rates = np.array([second[i].solve_rate for i in ids])
    for level in np.unique(levels):
        chosen = levels == level
        print(f"level {level}: {chosen.sum():5d} samples, solve rate {rates[chosen].mean():.3f}")
    means = [rates[levels == level].mean() for level in np.unique(levels)]
    print(f"strictly falling from level to level: {bool(np.all(np.diff(means) < 0))}")


if __name__ == "__main__":
    main()
