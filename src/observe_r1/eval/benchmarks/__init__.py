"""Published benchmarks: their files, and their own scoring beside ours.

To add one: a file with ``BENCHMARK``, and a name in the tuple below.
"""

from observe_r1.config.near import did_you_mean
from observe_r1.errors import ConfigError
from observe_r1.eval.benchmarks import (
    mathverse,
    mathvision,
    mathvista,
    mmbench,
    mmmu,
    mmstar,
    we_math,
)
from observe_r1.eval.benchmarks.base import Benchmark

_MODULES = (mathvista, mathvision, mathverse, we_math, mmmu, mmstar, mmbench)

BENCHMARKS: dict[str, Benchmark] = {module.BENCHMARK.name: module.BENCHMARK for module in _MODULES}


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name."""
    if name not in BENCHMARKS:
        raise ConfigError(
            f"there is no benchmark '{name}'.{did_you_mean(name, BENCHMARKS)} Others run through "
            "lmms-eval (--benchmark lmms:TASK), or as a data folder: observe-r1 data import … "
            "then --data."
        )
    return BENCHMARKS[name]
