"""One process or many. Every process holds the same records; only the computing is shared out.

    choose       everyone, alike             (same seed, same state)
    generate     each its share of prompts;  groups are gathered to everyone
    score…weigh  everyone, alike
    optimise     each its share of rows;     gradients are averaged
    record       the first process

Losses are divided by numbers that everyone knows already, so no count ever travels.

Replicated (the default): the module is used as it is, and gradients are averaged once an update. No
shard of the data, empty, text-only or all zero, can leave anyone waiting.

Sharded (FSDP2): layers are gathered while they are computed, so every process must run the same
number of rows and have a gradient, be it zero, for the same parameters. Those with fewer rows run a
dummy row that weighs nothing; rows without images touch the vision tower's parameters with a factor
of zero.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from observe_r1.errors import ConfigError
from observe_r1.policy.family import language_model
from observe_r1.policy.forward import PackedPolicy

T = TypeVar("T")


class Processes:
    """This process among its peers; a single one when started without a launcher."""

    def __init__(self, *, sharded: bool = False) -> None:
        self.sharded = sharded
        started = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if started else 0
        self.count = dist.get_world_size() if started else 1

    @classmethod
    def launched(cls) -> "Processes":
        """As ``accelerate launch`` or ``torchrun`` set it up; ``--use_fsdp`` shards the model."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
            raise ConfigError(
                "The launcher asks for DeepSpeed, which packed rows have not been tested with. "
                "Launch with FSDP2 (accelerate launch --use_fsdp --fsdp_version 2) instead."
            )
        from accelerate import PartialState

        PartialState()  # joins the process group and takes its device
        sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        return cls(sharded=sharded)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def prepare(self, module: PackedPolicy) -> None:
        """Shard the one module, in place; replicas are left as they are."""
        if self.sharded:
            shard(module)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Once an update; a process that computed nothing adds zeros. FSDP2 has done so already."""
        if self.count == 1 or self.sharded:
            return
        has_gradient = torch.tensor(
            [p.grad is not None for p in parameters], dtype=torch.int32, device=parameters[0].device
        )
        dist.all_reduce(has_gradient)
        for parameter, anywhere in zip(parameters, has_gradient.tolist(), strict=True):
            if not anywhere:  # as on one process: the optimizer passes it over
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= self.count

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process works on: every ``count``-th item."""
        return list(items[self.rank :: self.count])

    def gather(self, mine: Sequence[T]) -> list[T]:
        """The inverse of ``share``: all items in their first order, on every process."""
        parts = self.gather_objects(list(mine))
        total = sum(len(part) for part in parts)
        return [parts[i % self.count][i // self.count] for i in range(total)]

    def gather_objects(self, mine: T) -> list[T]:
        """Everyone's, by rank, on every process."""
        if self.count == 1:
            return [mine]
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, mine)
        return parts

    def from_main(self, make: Callable[[], T]) -> T:
        """What the first process makes, on every process."""
        if self.count == 1:
            return make()
        box: list[Any] = [make() if self.is_main else None]
        dist.broadcast_object_list(box)
        return box[0]

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


def shard(module: PackedPolicy) -> None:
    """FSDP2: a unit a text layer, the rest (embeddings, vision tower, head) in the root's unit."""
    from torch.distributed.fsdp import fully_shard

    for layer in language_model(module.model).layers:
        fully_shard(layer)
    fully_shard(module)
    module.touches_all = True
