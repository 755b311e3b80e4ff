"""A probe by many workers: blocks of samples through ``observe_r1.shared``, then one folder again.

    worker  data probe DIR --store s3://b/probe  ─┐
    worker  data probe DIR --store s3://b/probe  ─┼─▶ parts ──collect──▶ DIR/probe/rollouts.jsonl
    worker  …                                    ─┘

A block goes through both stages of the probe before its rows are published, so that no worker waits
for another. What is collected does not depend on how many workers there were.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from observe_r1.data.store import SampleSet
from observe_r1.errors import EngineError, RunError
from observe_r1.probe.run import ProbeConfig, ProbeSummary, probe
from observe_r1.probe.store import (
    IDENTITY,
    ROLLOUTS,
    ProbeRow,
    RowCounts,
    Stage,
    each_once,
    take_lock,
    to_json,
)  # fmt: skip
from observe_r1.records import read_json, to_line, write_json
from observe_r1.refusals import Refusals
from observe_r1.rollout.base import RolloutEngine
from observe_r1.shared import Block, BlockRows, Bucket, SharedWork, ShareSettings, WorkSummary
from observe_r1.types import Sample

UNSENT, COLLECTED = "unsent", "collected"


class BlockStore:
    """The rows of one block, as ``probe`` wants a store to be."""

    def __init__(self, rows: BlockRows) -> None:
        self._block = rows
        self._rows = list(each_once(rows.before))
        self._counts = RowCounts(self._rows)

    def num_rollouts(self, stage: Stage, sample_id: str) -> int:
        return self._counts.num_rollouts(stage, sample_id)

    def next_round(self, stage: Stage, sample_id: str) -> int:
        return self._counts.next_round(stage, sample_id)

    def refusal(self, stage: Stage, sample_id: str) -> ProbeRow | None:
        return self._counts.refusal(stage, sample_id)

    @property
    def asked(self) -> Mapping[str, str]:
        return self._counts.asked

    def rows(self) -> Iterator[ProbeRow]:
        return iter(self._rows)

    def append(self, rows: Sequence[ProbeRow]) -> None:
        self._rows += rows
        for row in rows:
            self._counts.note(row)
        self._block.add([to_json(row) for row in rows])


def shared_probe(
    samples: Sequence[Sample],
    config: ProbeConfig,
    bucket: Bucket,
    identity: Mapping[str, Any],
    folder: Path,
    settings: ShareSettings,
) -> SharedWork:
    """This worker's part in the probe of ``samples``; ``folder`` keeps what cannot be sent."""
    return SharedWork(
        bucket,
        identity={"work": "probe", **identity, "questions": fingerprint(samples)},
        num_items=len(samples),
        target=f"{config.rollouts:04d}+{config.extra_at_ends}",
        spool=folder / UNSENT,
        settings=settings,
    )


def work_on_probe(
    work: SharedWork,
    samples: Sequence[Sample],
    engine: RolloutEngine,
    config: ProbeConfig,
    *,
    direct_engine: RolloutEngine | None = None,
    on_progress: Callable[[Stage, int], None] | None = None,
    on_others: Callable[[int], None] = lambda samples: None,
) -> tuple[WorkSummary, ProbeSummary]:
    """Probe blocks until none is left: what became of the blocks, and what this worker asked."""
    done: list[ProbeSummary] = []
    refusals = Refusals("the probe", has_answers=work.has_finished_blocks)

    def do(block: Block, rows: BlockRows) -> Sequence[str]:
        mine = samples[block.start : block.stop]
        store = BlockStore(rows)
        summary = probe(
            mine, engine, config, store, direct_engine=direct_engine, on_progress=on_progress,
            refusals=refusals,
        )  # fmt: skip
        done.append(summary)
        failed = [sample_id for one in done for sample_id in one.failed]
        if len(failed) > config.max_failures * config.batch_size:
            raise EngineError(
                f"{len(failed)} samples could not be asked, the last of them {failed[-1]}. Check "
                "the servers. What has been answered is stored; run the same command again to go "
                "on."
            )
        # A finished block is final, and before anything is answered refusals are not believed.
        return summary.failed if refusals.has_answers else summary.failed + summary.refused

    blocks = work.run(do, on_others)
    if blocks.missing:
        refusals.check(at_end=True)
    mine = ProbeSummary(
        num_answered_directly=sum(one.num_answered_directly for one in done),
        num_groups=sum(one.num_groups for one in done),
        num_rollouts=sum(one.num_rollouts for one in done),
        failed=tuple(blocks.failed),
        refused=tuple(sorted({sample_id for one in done for sample_id in one.refused})),
    )
    return blocks, mine


def collect(work: SharedWork, identity: Mapping[str, Any], folder: Path) -> None:
    """Write the rows of all blocks as the folder of one probe, in the samples' order; leave it to
    whoever is at it already."""
    folder.mkdir(parents=True, exist_ok=True)
    source = {"store": work.bucket.url, "target": work.target}
    try:
        lock = take_lock(folder)
    except RunError:
        return  # another worker of the same machine collects the same rows
    try:
        if _collected(folder) != source:
            _write_rows(work, folder / ROLLOUTS)
            write_json(folder / IDENTITY, {**identity, COLLECTED: source})
    finally:
        os.close(lock)


def _write_rows(work: SharedWork, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", encoding="ascii") as file:
        for _, rows in work.results():
            for row in sorted(each_once(rows), key=lambda r: (r.stage, r.sample_id, r.round)):
                file.write(to_line(to_json(row)))
    os.replace(part, path)


def _collected(folder: Path) -> Any:
    """Where the folder's rows come from; a probe of this machine alone is not thrown away."""
    there = read_json(folder / IDENTITY) if (folder / IDENTITY).exists() else {}
    if (folder / ROLLOUTS).exists() and COLLECTED not in there:
        raise RunError(
            f"{folder} holds a probe that was made without --store, and nothing is overwritten. "
            "Move it away, then run the same command again: it only collects."
        )
    return there.get(COLLECTED)


def fingerprint(samples: Sequence[Sample]) -> str:
    """Equal for equal ids, questions and golds in the same order; reads no picture."""
    digest = hashlib.sha256()
    if isinstance(samples, SampleSet):
        columns = (samples.column(name) for name in ("id", "question", "answer"))
        rows: Any = zip(*columns, strict=True)
    else:
        rows = ((s.id, s.question, s.answer) for s in samples)
    for row in rows:
        digest.update(to_line({"row": [str(value) for value in row]}).encode())
    return digest.hexdigest()[:16]
