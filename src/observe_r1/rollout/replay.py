"""A step of fixed shapes, done again and again: on a GPU recorded once and replayed.

A small model's decoding step is thousands of kernels of a few microseconds each, and launching them
from Python takes longer than running them. A CUDA graph launches them all at once. What is recorded
must read and write the same tensors every time and ask the host nothing.
"""

import logging
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)


class Replay:
    """Runs one step as often as asked; on a GPU from the second time on as a recording.

    The step is handed over with every call: a decoder that held a replay which held the decoder
    would keep its cache until the garbage collector comes by.

    Example:
        replay = Replay(torch.device("cuda"))
        replay.run(step, 16)
    """

    def __init__(self, device: torch.device) -> None:
        self.records = device.type == "cuda"
        self.graph: torch.cuda.CUDAGraph | None = None
        self.has_run = False

    def run(self, step: Callable[[], None], times: int) -> None:
        for _ in range(times):
            if self.graph is not None:
                self.graph.replay()
            elif self.records and self.has_run:
                self._record(step)
            else:
                step()  # the first time for real: libraries set themselves up in it
                self.has_run = True

    def _record(self, step: Callable[[], None]) -> None:
        """Recording computes nothing, so what was recorded is replayed at once. A model that
        cannot be recorded is decoded as it is: slower, and the same."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                step()
        except RuntimeError as error:
            logger.warning("Decoding cannot be recorded for this model: %s", error)
            self.records = False
            step()
            return
        self.graph = graph
        graph.replay()
