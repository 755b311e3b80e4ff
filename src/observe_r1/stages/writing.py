"""What ``teach`` and ``sample`` share: responses become traces, filtered, changed, and kept.

drawn/          every response as it came: what was paid for stays
metrics.jsonl   a row a batch
traces.jsonl    what was kept; samples.jsonl and images/ are its questions
traces.json     how many were written, what each filter and transform left out, how many questions
                were not asked for want of a hint or refused by the server
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from observe_r1.config.rollout import Endpoint
from observe_r1.config.sample import SampleStage
from observe_r1.config.teach import TeachStage
from observe_r1.data.traces import (
    TRACES,
    SampleIndex,
    TraceRow,
    TraceSet,
    keep_samples,
    write_traces,
)
from observe_r1.errors import DataError
from observe_r1.probe.store import ProbeRow, ProbeStore
from observe_r1.records import append_rows, read_rows, to_line, write_atomic, write_json
from observe_r1.stages.drawing import Asker, Drawer, to_traces
from observe_r1.stages.engines import EngineConfig, open_engine
from observe_r1.stages.handover import LoadPolicy, Refined, refine
from observe_r1.types import Sample

CARD = "traces.json"
DRAWN = "drawn"
METRICS, ROLLOUTS = "metrics.jsonl", "rollouts.jsonl"
Notify = Callable[[int, dict[str, float]], None]
Stage = SampleStage | TeachStage
LeftOut = Mapping[str, int]
"""How many questions were left out while drawing, by why."""


def draw_traces(
    stage: Stage, questions: Sequence[Sample], *, model: str, engine: EngineConfig, origin: str,
    run: Path, notify: Notify, known: TraceSet | None = None,
) -> tuple[TraceSet, LeftOut]:  # fmt: skip
    """Everything that a model or server answers; what is in the store is not asked again."""
    workers = engine.max_concurrency if isinstance(engine, Endpoint) else 1
    with (
        ProbeStore(run / DRAWN, {"stage": stage.name}) as store,
        open_engine(model, engine) as opened,
    ):
        asker = Asker(opened, stage, known)
        rhythm = _Rhythm(run, stage.questions_per_batch, notify)
        left_out = Drawer(stage, asker, store, workers, rhythm).run(questions)
        rhythm.close()
        rows = to_traces(store.rows(), questions, stage, origin=origin)
    return TraceSet(tuple(rows), SampleIndex(questions)), left_out


class _Rhythm:
    """A row of metrics for every so many questions, however they come."""

    def __init__(self, run: Path, questions_per_row: int, notify: Notify) -> None:
        self.path = run / METRICS
        self.size, self.notify = questions_per_row, notify
        self.step = sum(1 for _ in read_rows(self.path)) if self.path.exists() else 0
        self._rows: list[ProbeRow] = []
        self._last = time.perf_counter()

    def __call__(self, rows: Sequence[ProbeRow], num_questions: int) -> None:
        self._rows += [row for row in rows if row.completions]
        if len(self._rows) >= self.size:
            self.close()

    def close(self) -> None:
        """Write what has come since the last row."""
        if not self._rows:
            return
        drawn = [completion for row in self._rows for completion in row.completions]
        now = time.perf_counter()
        self.step += 1
        metrics = {
            "accuracy": sum(c.correct for c in drawn) / len(drawn),
            "length": sum(c.num_tokens for c in drawn) / len(drawn),
            "truncated": sum(c.truncated for c in drawn) / len(drawn),
            "groups/drawn": float(len(self._rows)),
            "tokens/generated": float(sum(c.num_tokens for c in drawn)),
            "timing/step": now - self._last,
        }
        append_rows(self.path, [{"step": self.step, **metrics}])
        self._rows, self._last = [], now
        self.notify(self.step, metrics)


def keep_traces(
    stage: Stage, traces: TraceSet, run: Path, policy: LoadPolicy, left_out: LeftOut | None = None
) -> TraceSet:
    """Filter, change and write; too few are refused, with what left them out."""
    refined = refine(traces, stage.filters, stage.transforms, policy, seed=stage.seed)
    kept = refined.result
    if len(kept) < stage.at_least:
        raise DataError(
            f"stage '{stage.name}' wrote {len(kept)} traces and wants at least {stage.at_least}: "
            f"of {len(traces)}, {refined.said}. Filter less, draw more (attempts), or ask other "
            f"questions; everything drawn is in {run / DRAWN}."
        )
    card = {"written": len(traces), "kept": len(kept), "how": refined.said, **_shares(kept.rows)}
    write_json(run / CARD, {**card, **(left_out or {})})
    _show(run, refined)
    write_traces(run, kept)
    return kept


def _show(run: Path, refined: Refined) -> None:
    """Everything that was written, as the rows of a run: the report shows it question by question,
    what the filters left out as not admitted."""
    keep_samples(run, refined.all.samples.values())
    kept = {id(row) for row in refined.kept.rows}
    places: Counter[str] = Counter()
    groups: dict[str, int] = {}
    lines = []
    for row in refined.all.rows:
        group = groups.setdefault(row.sample_id, len(groups))
        lines.append(to_line(_rollout(row, group, places[row.sample_id], id(row) in kept)))
        places[row.sample_id] += 1
    write_atomic(run / ROLLOUTS, "".join(lines))


def _rollout(row: TraceRow, group: int, index: int, is_kept: bool) -> dict[str, Any]:
    right = float(bool(row.correct))
    solve_rate = right if row.solve_rate is None else row.solve_rate
    return {
        "step": 1, "sample_id": row.sample_id, "group": group, "index": index,
        "text": row.response, "num_tokens": row.num_tokens or 0, "truncated": row.truncated,
        "correct": bool(row.correct), "rewards": {"accuracy": right}, "reward": right,
        "bonus": 0.0, "solve_rate": solve_rate, "weight": 1.0, "advantage": 0.0,
        "admitted": is_kept,
    }  # fmt: skip


def _shares(rows: Sequence[TraceRow]) -> dict[str, Any]:
    graded = [row.correct for row in rows if row.correct is not None]
    return {
        "questions": len({row.sample_id for row in rows}),
        "correct": sum(graded) / len(graded) if graded else None,
    }


def is_written(run: Path) -> bool:
    """Whether the stage has come to its end: the traces are written last."""
    return (run / TRACES).exists()
