"""Run by ``test_supervised``: three supervised steps as one of two processes.

Usage: python -m torch.distributed.run --nproc_per_node 2 two_process_sft.py MODEL RUN
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from observe_r1.stages.sft import run_sft


def main(model: str, run: str) -> None:
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
    from test_supervised import stage, traces

    torch.set_num_threads(1)
    run_sft(stage(3, examples_per_pass=1), model=model, traces=traces(), run=Path(run))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
