"""A probe that takes a while, for the tests that kill it: ``python slow_probe.py FOLDER``."""

import sys
import time
from pathlib import Path

from test_probe import ScriptedEngine, make_samples

from observe_r1.probe import ProbeConfig, ProbeStore, probe


class SlowEngine(ScriptedEngine):
    def generate(self, *arguments, **settings):
        if not self.calls:
            print("asking", flush=True)
        time.sleep(0.01)
        return super().generate(*arguments, **settings)


if __name__ == "__main__":
    config = ProbeConfig(batch_size=3)
    with ProbeStore(Path(sys.argv[1]), config.identity("slow")) as store:
        probe(make_samples(60), SlowEngine(60), config, store)
