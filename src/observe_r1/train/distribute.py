"""One process or many. Every process holds the same records; only the computing is shared out.

    choose       everyone, alike             (same seed, same state)
    generate     each its share of prompts
    score        each its own groups;        gathered to everyone: a judge is asked once, and
                                             nobody trains on another verdict than the others
    weigh        everyone, alike
    optimise     each its share of rows;     gradients are averaged
    record       the first process

Losses are divided by numbers that everyone knows already, so no count ever travels.

Replicated (the default): the module is used as it is, and gradients are averaged once an update. No
shard of the data, empty, text-only or all zero, can leave anyone waiting.

Sharded (FSDP2): layers are gathered while they are computed, so every process must run the same
number of rows and have a gradient, be it zero, for the same parameters. Those with fewer rows run a
dummy row that weighs nothing; rows without images touch the vision tower's parameters with a factor
of zero.

A process that is gone is noticed: at once where its connection breaks, else after
OBSERVE_R1_PEER_MINUTES. The others then end with one sentence, and all are started again with
``--resume``.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from observe_r1.errors import ConfigError, ObserveError, RunError
from observe_r1.policy.family import language_model
from observe_r1.policy.forward import PackedPolicy
from observe_r1.train.launch import is_alone, settle_launch

T = TypeVar("T")

PEER_MINUTES = "OBSERVE_R1_PEER_MINUTES"
DEFAULT_PEER_MINUTES = 30.0
"""How long the others are waited for. The first process measures held-out questions alone, so this
must be longer than that takes."""

LOST = ("Connection closed", "Connection reset", "Broken pipe", "Timed out", "timed out",
        "Socket", "recvValue failed", "failed to recv")  # fmt: skip
"""How the messages of gloo and of the store begin to read when a process is gone: on a CPU they
raise nothing more special than a RuntimeError."""


class Processes:
    """This process among its peers; a single one when started without a launcher."""

    def __init__(self, *, sharded: bool = False, reshard: bool = True) -> None:
        self.sharded = sharded
        self.reshard = reshard
        """Whether a layer's weights are given back between forward and backward."""
        started = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if started else 0
        self.count = dist.get_world_size() if started else 1
        self._draws: Any = None  # the process group that rollouts are gathered over

    @classmethod
    def launched(cls) -> "Processes":
        """As ``accelerate launch`` or ``torchrun`` set it up."""
        launch = settle_launch()
        if is_alone():
            return cls()
        from accelerate import PartialState

        with naming_lost_peers():  # joins the process group and takes its device
            PartialState(cpu=not torch.cuda.is_available(), timeout=peer_timeout())
        return cls(sharded=launch.sharded, reshard=launch.reshard)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def prepare(self, module: PackedPolicy) -> None:
        """Shard the one module, in place; replicas are left as they are."""
        if self.sharded:
            shard(module, self.reshard)

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

    def separate_draws(self) -> None:
        """Gather over lines of their own from now on: what is drawn beside an update must not meet
        its messages. Called by all processes at the same point."""
        if self.count > 1:
            self._draws = dist.new_group(timeout=peer_timeout(), backend="gloo")

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process works on: every ``count``-th item."""
        return list(items[self.rank :: self.count])

    def gather(self, mine: Sequence[T]) -> list[T]:
        """The inverse of ``share``: all items in their first order, on every process."""
        parts = self.gather_objects(list(mine), self._draws)
        total = sum(len(part) for part in parts)
        return [parts[i % self.count][i // self.count] for i in range(total)]

    def gather_objects(self, mine: T, group: Any = None) -> list[T]:
        """Everyone's, by rank, on every process."""
        if self.count == 1:
            return [mine]
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, mine, group)
        return parts

    def from_main(self, make: Callable[[], T]) -> T:
        """What the first process makes, on every process."""
        if self.count == 1:
            return make()
        box: list[Any] = [make() if self.is_main else None]
        dist.broadcast_object_list(box)
        return box[0]

    def check_alike(self, values: Mapping[str, str]) -> None:
        """Refuse processes that were started otherwise than the first one, on all of them."""
        everyone = self.gather_objects(dict(values))
        for rank, theirs in enumerate(everyone):
            for name, value in everyone[0].items():
                if theirs[name] != value:
                    raise RunError(
                        f"process {rank} has another {name} than process 0: {theirs[name]} instead "
                        f"of {value}. Give every machine the same command, the same versions, the "
                        "same data, and an --out that all of them see."
                    )

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


def shard(module: PackedPolicy, reshard: bool = True) -> None:
    """FSDP2: a unit a text layer, the rest (embeddings, vision tower, head) in the root's unit.
    Gradients add up in float32 over processes, as they do over micro-batches."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for layer in language_model(module.model).layers:
        fully_shard(layer, reshard_after_forward=reshard, mp_policy=precision)
    fully_shard(module, mp_policy=precision)
    module.touches_all = True


def peer_timeout() -> timedelta:
    """How long to wait for another process before it counts as lost."""
    given = os.environ.get(PEER_MINUTES, str(DEFAULT_PEER_MINUTES))
    try:
        minutes = float(given)
    except ValueError:
        minutes = 0.0
    if not 0.0 < minutes < float("inf"):
        raise ConfigError(f"{PEER_MINUTES} is '{given}'. Set it to a number of minutes above 0.")
    return timedelta(minutes=minutes)


@contextmanager
def naming_lost_peers() -> Iterator[None]:
    """Say in one sentence that another process is gone, and what to do."""
    try:
        yield
    except ObserveError:
        raise
    except RuntimeError as error:
        rank, count = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        if count == "1" or not is_lost_peer(error):
            raise
        raise RunError(
            f"process {rank} of {count} has lost another process: {str(error).splitlines()[0]}\n"
            "It has failed (its own output says why), its machine or the network is gone, or it "
            f"took longer than {PEER_MINUTES}={peer_timeout().total_seconds() / 60:g}. Nothing up "
            "to the last checkpoint is lost: start all processes again with --resume."
        ) from error


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether this is what PyTorch raises when another process does not answer."""
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in LOST)
