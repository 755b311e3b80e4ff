"""Does it pay to spend rollouts where a decision hangs on them? Fixed against adaptive, simulated.

    python benchmarks/adaptive.py

A sample belongs to level 0 when its true solve rate is above 15/16, to level 8 below 1/16: those
are the levels that are dropped or held. Fixed: 8 rollouts each. Adaptive: a few rollouts, then more
for the samples whose first ones were all right or all wrong, as many as give the same mean cost.
Wrong decisions are a sample called level 0 (or 8) that is not, or the other way round.
"""

import argparse

import numpy as np

FIXED = 8
SHAPES = {"spread": (0.7, 0.9), "mostly hard": (0.4, 1.2), "mostly easy": (1.5, 0.5),
          "middling": (2.0, 2.0)}  # fmt: skip


def levels(correct: np.ndarray, rollouts: np.ndarray) -> np.ndarray:
    """The same rule as ``observe_r1.data.difficulty.level_of``, on arrays."""
    return np.floor(8 * (rollouts - correct + 0.5) / (rollouts + 1) + 0.5)


def wrong(found: np.ndarray, rates: np.ndarray) -> tuple[float, float]:
    """Wrong decisions at level 0 and at level 8, in percent of all samples."""
    truth = np.floor(8 * (1 - rates) + 0.5)
    return tuple(100 * float(((found == end) != (truth == end)).mean()) for end in (0, 8))


def fixed(rates: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    rollouts = np.full(len(rates), FIXED)
    return levels(rng.binomial(FIXED, rates), rollouts), float(FIXED)


def adaptive(rates: np.ndarray, first: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    correct = rng.binomial(first, rates)
    at_ends = (correct == 0) | (correct == first)
    budget = (FIXED - first) * len(rates) / max(1, int(at_ends.sum()))
    # Whole rollouts: some of the chosen samples get one more than the others.
    more = np.floor(budget + rng.random(len(rates))).astype(int) * at_ends
    correct = correct + rng.binomial(more, rates)
    rollouts = first + more
    return levels(correct, rollouts), float(rollouts.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    print(
        f"{'solve rates':<14} {'rule':<12} {'mean cost':>9} {'wrong at 0':>11} {'wrong at 8':>11}"
    )
    for name, (alpha, beta) in SHAPES.items():
        rates = rng.beta(alpha, beta, arguments.samples)
        rules = {"fixed 8": fixed(rates, rng)}
        rules |= {f"first {n}": adaptive(rates, n, rng) for n in (4, 5, 6, 7)}
        for rule, (found, cost) in rules.items():
            at_0, at_8 = wrong(found, rates)
            print(f"{name:<14} {rule:<12} {cost:>9.2f} {at_0:>9.2f} % {at_8:>9.2f} %")


if __name__ == "__main__":
    main()
