"""One process or many. Every process holds the same records; only the computing is shared out.

    choose      everyone, alike            (same seed, same state)
    generate    each its share of prompts
    gather      groups to everyone
    score…weigh everyone, alike
    optimise    each its share of rows; gradients are averaged by the wrapper

Losses are divided by numbers everyone knows already, so no count ever travels.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class Processes:
    """This process among its peers; a single process when started without a launcher."""

    def __init__(self, accelerator: Any | None = None) -> None:
        self.accelerator = accelerator
        self.rank: int = accelerator.process_index if accelerator else 0
        self.count: int = accelerator.num_processes if accelerator else 1

    @classmethod
    def launched(cls, trackers: Sequence[str] = (), folder: str | None = None) -> "Processes":
        """With Accelerate when a launcher or a tracker asks for it."""
        import os

        if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not trackers:
            return cls()
        from accelerate import Accelerator

        return cls(Accelerator(log_with=list(trackers) or None, project_dir=folder))

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Wrap the one module and its optimizer: DDP, FSDP2 or DeepSpeed, as launched."""
        if self.count == 1 or self.accelerator is None:
            return module, optimizer
        return self.accelerator.prepare(module, optimizer)

    def no_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Backward without averaging gradients: for all micro-batches but the last."""
        if self.count == 1 or self.accelerator is None:
            return nullcontext()
        return self.accelerator.no_sync(module)

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process works on: every ``count``-th item."""
        return list(items[self.rank :: self.count])

    def gather(self, mine: Sequence[T]) -> list[T]:
        """The inverse of ``share``: all items in their first order, on every process."""
        if self.count == 1:
            return list(mine)
        parts: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(parts, list(mine))
        total = sum(len(part) for part in parts)
        return [parts[i % self.count][i // self.count] for i in range(total)]

    def wait(self) -> None:
        if self.count > 1:
            torch.distributed.barrier()
