"""One worker of a shared probe, for the tests that kill it: ``python shared_worker.py STORE``."""

import sys
import time
from pathlib import Path

from test_probe import ScriptedEngine, make_samples

from observe_r1.probe import ProbeConfig
from observe_r1.probe.shared import collect, shared_probe, work_on_probe
from observe_r1.shared import ShareSettings, open_bucket

NUM_SAMPLES = 60


class SlowEngine(ScriptedEngine):
    def generate(self, *arguments, **settings):
        if not self.calls:
            print("asking", flush=True)
        time.sleep(0.02)
        return super().generate(*arguments, **settings)


def run_worker(store: str, folder: Path, engine: ScriptedEngine, **settings) -> int:
    """How many blocks are missing when this worker has ended."""
    config = ProbeConfig(batch_size=3)
    identity = config.identity("scripted")
    samples = make_samples(NUM_SAMPLES)
    sharing = ShareSettings(
        **{"block_size": 4, "lease_seconds": 1.0, "poll_seconds": 0.05} | settings
    )
    bucket = open_bucket(store, tries=3, first_wait_seconds=0.01)
    work = shared_probe(samples, config, bucket, identity, folder, sharing)
    blocks, _ = work_on_probe(work, samples, engine, config)
    if not blocks.missing:
        collect(work, identity, folder)
    return blocks.missing


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    sys.exit(run_worker(str(folder / "store"), folder / sys.argv[2], SlowEngine(NUM_SAMPLES)))
