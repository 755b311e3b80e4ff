"""What the stages of one run leave for each other: weights and traces.

    run/1-teach/ traces.jsonl …      run/2-sft/ checkpoints/latest      run/3-rl/ …
        └────────── traces ──────────────▲   └────── weights ─────────────▲

Weights are read where they were written; nothing is copied. The one exception: adapters whose next
stage trains adapters again, which need a model of their own to belong to.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.config.run import RunConfig
from observe_r1.config.stage_base import BASE, PREVIOUS
from observe_r1.config.stages import (
    DPOStage,
    ParamsStage,
    RLStage,
    SampleStage,
    SFTStage,
    Stage,
    TeachStage,
    TrainingStage,
)  # fmt: skip
from observe_r1.config.traces import LAST, TraceSource
from observe_r1.data.chats import Side, read_chats
from observe_r1.data.trace_filters import Filter, apply_filters
from observe_r1.data.traces import TRACES, TraceSet, join, read_traces
from observe_r1.data.transforms.apply import transform_traces
from observe_r1.errors import DataError, RunError
from observe_r1.stages.models import locate_model
from observe_r1.stages.waiting import done_by_first

if TYPE_CHECKING:
    from observe_r1.policy.load import Policy

ADAPTER = "adapter_config.json"
MERGED = "start"
"""Of a stage: the model that adapters it starts from were merged into."""
MEASURES = ("num_tokens", "perplexity")
LoadPolicy = Callable[[], "Policy"]
"""Weights to measure traces with, loaded when a filter needs them."""


def stage_folders(run: RunConfig, out: Path) -> list[tuple[Path, Stage]]:
    """Where each stage writes: the run folder itself when there is only one."""
    stages = run.active_stages
    if len(stages) == 1:
        return [(out, stages[0])]
    return [(out / f"{n}-{stage.name}", stage) for n, stage in enumerate(stages, start=1)]


def _merge_once(adapters: Path, merged: Path, dtype: str) -> None:
    from observe_r1.stages.export_model import merge_adapters

    if merged.exists():
        return
    part = merged.with_name(f".{merged.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    merge_adapters(adapters, part, dtype=dtype)
    part.rename(merged)


def writes_weights(stage: Stage) -> bool:
    return isinstance(stage, TrainingStage | ParamsStage)


def writes_traces(stage: Stage) -> bool:
    return isinstance(stage, TeachStage | SampleStage)


@dataclass(frozen=True, slots=True)
class Handover:
    """Looks up what earlier stages have left.

    Example:
        Handover(run, Path("runs/a")).weights("previous", "rl")
    """

    run: RunConfig
    out: Path

    def folder(self, name: str) -> Path | None:
        """The folder of the stage with that name; None where there is none."""
        folders = stage_folders(self.run, self.out)
        return next((folder for folder, stage in folders if stage.name == name), None)

    def before(self, name: str) -> list[tuple[Path, Stage]]:
        """The stages that come before one, the nearest first."""
        found = []
        for folder, stage in stage_folders(self.run, self.out):
            if stage.name == name:
                return found[::-1]
            found.append((folder, stage))
        raise KeyError(name)

    def weights(self, start_from: str, stage: str) -> str:
        """Where to load the weights from that ``start_from`` of a stage means."""
        if start_from == BASE:
            return locate_model(self.run.model)
        earlier = self.before(stage)
        if start_from == PREVIOUS:
            for folder, other in earlier:
                if writes_weights(other):
                    return self._checkpoint(folder, other.name)
            return locate_model(self.run.model)
        for folder, other in earlier:
            if other.name == start_from:
                if writes_weights(other):
                    return self._checkpoint(folder, other.name)
                return self.weights(other.start_from, other.name)
        return locate_model(start_from)

    def result(self) -> str:
        """The weights that the run leaves: of its last stage that has any."""
        folder, last = stage_folders(self.run, self.out)[-1]
        if writes_weights(last):
            return self._checkpoint(folder, last.name)
        return self.weights(last.start_from, last.name)

    def start(self, stage: Stage, folder: Path) -> str:
        """The weights a stage starts from. Adapters that are trained next belong to a model of
        their own, so adapters it starts from are merged into one first."""
        model = self.weights(stage.start_from, stage.name)
        dtype = _dtype_of_adapters(stage)
        if dtype is None or not (Path(model) / ADAPTER).is_file():
            return model
        done_by_first(lambda: _merge_once(Path(model), folder / MERGED, dtype), folder, MERGED)
        return str(folder / MERGED)

    def _checkpoint(self, folder: Path, name: str) -> str:
        latest = folder / "checkpoints" / "latest"
        if not latest.exists():
            raise RunError(
                f"stage '{name}' has left no checkpoint in {folder}. Run it again with --resume."
            )
        return locate_model(str(latest.resolve()))

    def traces(
        self, source: TraceSource, stage: Stage, policy: LoadPolicy, *, side: Side = "chosen"
    ) -> TraceSet:
        """What a source names, filtered, changed and counted off; never an empty set."""
        found = self._all_traces(source, stage, side)
        refined = refine(found, source.filters, source.transforms, policy, seed=stage.seed)
        found = refined.result
        if not found.rows:
            raise DataError(
                f"stage '{stage.name}': nothing is left of the traces of '{source.source}' "
                f"({refined.said}). Filter less, or let more be written."
            )
        wanted = _wanted(source, len(found))
        if wanted < len(found):
            rng = random.Random(f"{stage.seed}/{source.source}/{source.name}")
            places = sorted(rng.sample(range(len(found)), wanted))
            found = found.with_rows([found.rows[place] for place in places])
        return found

    def all_traces(
        self, sources: Sequence[TraceSource], stage: Stage, policy: LoadPolicy
    ) -> TraceSet:
        """Several sources together."""
        return join([self.traces(source, stage, policy) for source in sources])

    def _all_traces(self, source: TraceSource, stage: Stage, side: Side) -> TraceSet:
        wanted = source.source
        for folder, other in self.before(stage.name):
            if writes_traces(other) and wanted in (LAST, other.name):
                return read_traces(folder)
        path = Path(wanted).expanduser()
        if path.is_dir():
            return read_traces(traces_folder(path))
        return read_chats(path, getattr(stage, "grammar", "think_answer"), side=side)


def _wanted(source: TraceSource, available: int) -> int:
    share = available if source.share is None else max(1, round(source.share * available))
    return min(share, available if source.count is None else source.count)


def _dtype_of_adapters(stage: Stage) -> str | None:
    """In which precision a stage trains adapters; None where it trains none."""
    if not isinstance(stage, SFTStage | DPOStage | RLStage) or stage.policy.lora is None:
        return None
    return stage.policy.dtype


def traces_folder(path: Path) -> Path:
    """The folder itself, or of a run of several stages the last that wrote traces."""
    if (path / TRACES).exists():
        return path
    stages = [p.parent for p in path.glob(f"*-*/{TRACES}") if p.parent.name.split("-")[0].isdigit()]
    return max(stages, key=lambda p: int(p.name.partition("-")[0]), default=path)


@dataclass(frozen=True, slots=True)
class Refined:
    """Traces before and after their filters and transforms.

    Example:
        refine(traces, stage.filters, stage.transforms, policy, seed=0).result
    """

    all: TraceSet
    """Every trace, measured as the filters want it."""
    kept: TraceSet
    """Those that passed the filters."""
    result: TraceSet
    """What the transforms made of them."""
    said: str
    """What each filter and transform left out, in words."""


def refine(
    traces: TraceSet, filters: Sequence[Filter], transforms: Sequence[Any], policy: LoadPolicy,
    *, seed: int,
) -> Refined:  # fmt: skip
    """Filters, then transforms."""
    measured = _measured(traces, filters, policy)
    filtered = apply_filters(measured, filters)
    changed = transform_traces(filtered.kept, transforms, seed)
    said = [str(filtered)]
    said += [f"transform {name} left out {count}" for name, count in changed.left_out.items()]
    return Refined(measured, filtered.kept, changed.traces, "; ".join(said))


def _measured(traces: TraceSet, filters: Sequence[Filter], policy: LoadPolicy) -> TraceSet:
    """Tokens and perplexity where a filter asks for them and nobody has measured them."""
    wanted = {rule.needs for rule in filters}
    missing = [
        m for m in MEASURES if m in wanted and any(getattr(r, m) is None for r in traces.rows)
    ]
    if missing:
        from observe_r1.stages.scoring import count_tokens, measure_perplexity

        measured = {"num_tokens": count_tokens, "perplexity": measure_perplexity}
        loaded = policy()
        for name in missing:
            traces = measured[name](loaded, traces)
    return traces
