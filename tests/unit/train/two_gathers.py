"""Run by ``test_two_processes``: rollouts gathered in a thread while the main one averages.

Usage: two_gathers.py RANK PORT
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.distributed as dist

from observe_r1.train.distribute import Processes

ROUNDS = 100


def main(rank: int, port: str) -> None:
    store = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    processes = Processes()
    processes.separate_draws()

    def draw() -> None:
        for number in range(ROUNDS):
            found = processes.gather([(number, i) for i in range(rank, 6, 2)])
            assert found == [(number, i) for i in range(6)], found

    with ThreadPoolExecutor(1) as thread:
        drawing = thread.submit(draw)
        for number in range(ROUNDS):
            total = torch.full((64,), float(rank + number))
            dist.all_reduce(total)
            assert total.eq(2 * number + 1).all()
            assert processes.gather_objects((rank, number)) == [(0, number), (1, number)]
        drawing.result()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
