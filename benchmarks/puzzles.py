"""Puzzles a second on one core, pictures encoded: ``python benchmarks/puzzles.py [--floor 300]``.

Every family is timed at its middle level, the default size, and at its highest. The table is in CPU
seconds of this process, so that a busy machine does not change it.
"""

import argparse
import sys
import time

from observe_r1.data.puzzles import PUZZLES, make_sample


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--floor", type=float, default=300.0, help="items a second each must reach")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to time each for")
    arguments = parser.parse_args()
    slow = []
    print(f"{'family':<12} {'middle level':>12} {'highest level':>13}   items a second")
    for name, family in PUZZLES.items():
        highest = len(family.levels) - 1
        middle_rate, highest_rate = (
            measure(name, level, arguments.seconds) for level in (highest // 2, highest)
        )
        print(f"{name:<12} {middle_rate:>12.0f} {highest_rate:>13.0f}")
        if middle_rate < arguments.floor:
            slow.append(name)
    if slow:
        print(f"below {arguments.floor:.0f} items a second: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


def measure(name: str, level: int, seconds: float) -> float:
    make_sample(name, 0, 0, level)  # the first one fills the caches of the drawing functions
    num_items, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        make_sample(name, 1, num_items, level)
        num_items += 1
    return num_items / spent


if __name__ == "__main__":
    raise SystemExit(main())
