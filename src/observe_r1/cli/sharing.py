"""``--store`` and ``--shard``: one command, started on as many machines as one likes.

    observe-r1 data probe DIR --model M --endpoint URL --store s3://bucket/probe   anywhere, often
    srun observe-r1 eval M --data DIR --out OUT --store /shared/eval               a task a GPU
    accelerate launch -m observe_r1.cli.main data probe DIR --model M              a rank a GPU

Under a launcher the ranks share a folder beside the data by themselves.
"""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import progress, say

if TYPE_CHECKING:
    from observe_r1.probe import ProbeConfig, ProbeSummary
    from observe_r1.rollout.base import RolloutEngine
    from observe_r1.shared import ShareSettings
    from observe_r1.types import Sample

Store = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Share the work: a folder or s3://bucket/folder that all workers see. Give every "
        "worker the same command.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="K/N", help="With --store: only the K-th of N shares; else any block."),
]


LARGEST_BLOCK = 64
"""Questions that a killed worker loses at most, and that cost one write."""
MOST_WORKERS = 256
"""Small data is cut finer, so that as many workers have something to do."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Where the work is shared, and how this worker takes part."""

    store: str
    settings: "ShareSettings"


def sharing_of(
    store: str | None, shard: str | None, *, beside: Path, at_least: int, is_server: bool
) -> Sharing | None:
    """What the options ask for; None when this process works alone."""
    from observe_r1.errors import ConfigError
    from observe_r1.shared import ShareSettings

    if store is None and os.environ.get("WORLD_SIZE", "1") != "1":
        store = str(beside)
    if store is None:
        if shard is not None:
            raise ConfigError(
                f"--shard {shard} divides work between workers, and they meet in a store. Say "
                "where: --store /shared/folder, or --store s3://bucket/folder."
            )
        return None
    number, of = _parse_shard(shard or "1/1")
    # Two blocks at a time for servers: one fills the gaps that the other's last answers leave.
    lanes = 2 if is_server else 1
    settings = {"block_size": at_least, "lanes": lanes, "shard": number, "num_shards": of}
    if not is_server:
        _use_own_device()
    return Sharing(store, ShareSettings.build(settings, f"--shard {shard or '1/1'}"))


def _parse_shard(text: str) -> tuple[int, int]:
    from observe_r1.errors import ConfigError

    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(
            f"--shard {text} is no share. Write K/N, counted from 1: the second of eight is 2/8."
        )
    return int(found[1]), int(found[2])


def _use_own_device() -> None:
    """One of several processes on a machine computes on its own GPU."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(rank) % torch.cuda.device_count())


@contextmanager
def ended_politely() -> Iterator[None]:
    """A scheduler's SIGTERM is treated as Ctrl-C: what the worker has is put aside for others."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def probe_together(
    sharing: Sharing,
    samples: "Sequence[Sample]",
    engine: "RolloutEngine",
    config: "ProbeConfig",
    identity: dict[str, Any],
    folder: Path,
    direct_engine: "RolloutEngine | None",
) -> "tuple[ProbeSummary, int]":
    """This worker's part, and how many blocks are still missing; with none, all is collected."""
    from observe_r1.probe.shared import collect, shared_probe, work_on_probe
    from observe_r1.shared import open_bucket

    size = max(sharing.settings.block_size, min(LARGEST_BLOCK, len(samples) // MOST_WORKERS))
    settings = sharing.settings.model_copy(update={"block_size": size})
    work = shared_probe(samples, config, open_bucket(sharing.store), identity, folder, settings)
    stages = 2 if config.direct else 1
    with ended_politely(), progress("probing", stages * len(samples)) as tick:
        blocks, summary = work_on_probe(
            work, samples, engine, config, direct_engine=direct_engine,
            on_progress=lambda stage, done: tick(done, stage),
            on_others=lambda done: tick(stages * done, "others"),
        )  # fmt: skip
    say(f"this worker: {blocks.blocks:,} blocks of up to {work.settings.block_size} questions, "
        f"{summary.num_rollouts:,} rollouts, into {sharing.store}")  # fmt: skip
    if not blocks.missing:
        collect(work, identity, folder)
    return summary, blocks.missing


def still_missing(blocks: int, failed: Sequence[str]) -> str:
    """What to do when this worker has ended and the whole has not."""
    why = f" ({len(failed):,} questions could not be asked)" if failed else ""
    return (
        f"{blocks:,} blocks are missing{why}: other shares, or work that failed. Run the same "
        "command again, here or anywhere and without --shard, to do them and to collect."
    )
