"""Measure how hard each sample is for a model.

    stage a  one direct answer without reasoning; what it gets right is too easy and goes no further
    stage b  N reasoned rollouts; the solve rate is the share that is correct

Batches are generated, graded and appended to the store before the next ones begin, so a stop at
any moment loses the batches on their way and nothing else.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from observe_r1.config.rollout import Sampling
from observe_r1.config_base import Config
from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.errors import EngineError
from observe_r1.grading import Grade, grade
from observe_r1.probe.store import ProbeRow, ProbeRows, Stage, question_hash, refuse_changed
from observe_r1.refusals import Refusals
from observe_r1.rollout.base import RolloutEngine
from observe_r1.text import system_prompt
from observe_r1.types import RolloutGroup, Sample

Extract = Literal["tagged", "boxed", "plain"]


class ProbeConfig(Config):
    """How samples are probed.

    Example:
        ProbeConfig(rollouts=8, sampling=Sampling(max_new_tokens=256), batch_size=16)
    """

    rollouts: int = Field(default=8, ge=1)
    """N: reasoned rollouts a sample."""

    extra_at_ends: int = Field(default=0, ge=0)
    """More rollouts for the samples whose first N were all right or all wrong: whether those are
    dropped or held hangs on few rollouts. At equal cost it makes fewer of these decisions wrong
    and grades the middle levels more coarsely (``benchmarks/adaptive.py``), so it is off."""

    grammar: str = "observe_think_answer"
    """Structure that the system prompt of stage b asks for."""

    extract: Extract = "tagged"
    """Where the answer is looked for: inside its tag, in a box, or in plain text."""

    sampling: Sampling = Sampling()
    """The distribution stage b samples from."""

    direct: bool = True
    """Whether stage a is done."""

    direct_max_tokens: int = Field(default=64, ge=1)
    """Longest direct answer."""

    batch_size: int = Field(default=16, ge=1)
    """Samples a call of the engine."""

    workers: int = Field(default=1, ge=1)
    """Calls at the same time; more than one only for engines that are servers."""

    max_failures: int = Field(default=10, ge=0)
    """Calls that may fail before the probe stops; their samples stay unprobed."""

    seed: int = 0
    """Of the sampling; a sample's later rounds draw anew."""

    def identity(self, model: str, direct_model: str | None = None) -> dict[str, Any]:
        """What must not change while rows are added to a store."""
        asked = {"grammar", "extract", "sampling", "direct", "direct_max_tokens"}
        settings = self.model_dump(mode="json", include=asked)
        return {"model": model, "direct_model": direct_model or model, **settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSummary:
    """What a call of ``probe`` did; groups and rollouts of earlier calls are not in it."""

    num_answered_directly: int
    """Over the whole store."""
    num_groups: int
    num_rollouts: int
    failed: tuple[str, ...]
    """Ids of the samples whose call failed; the next call tries them again."""
    last_failure: str = ""
    """Why the last call that failed did."""
    refused: tuple[str, ...] = ()
    """Ids of the samples whose rollouts the server refuses, now or in an earlier call; none, or not
    all, are there, and they are not asked for again."""


def probe(
    samples: Iterable[Sample],
    engine: RolloutEngine,
    config: ProbeConfig,
    store: ProbeRows,
    *,
    direct_engine: RolloutEngine | None = None,
    on_progress: Callable[[Stage, int], None] | None = None,
    refusals: Refusals | None = None,
) -> ProbeSummary:
    """Fill the store until every sample has its direct answer and its N rollouts.

    ``samples`` is gone through twice when stage a is on, so it must be a sequence or a set of them.
    What is already stored is not generated again; raising ``config.rollouts`` adds the difference.
    ``refusals`` counts over several calls what one of many parts of a job is refused.
    """
    refuse_changed(samples, store.asked)
    work = _Work(config, store, on_progress, refusals or Refusals("the probe"))
    if config.direct:
        work.run(_Plan("direct", config), samples, direct_engine or engine)
        work.refused.clear()  # another model may have refused, and the rollouts are what counts
    solved = answered_directly(store) if config.direct else set()
    plan = _Plan("reasoned", config)
    work.run(plan, samples, engine, skip=solved)
    if config.extra_at_ends:
        decided = _decided(store, config.rollouts)
        plan.rollouts += config.extra_at_ends
        work.run(plan, samples, engine, skip=solved | decided)
    return ProbeSummary(
        num_answered_directly=len(solved),
        num_groups=work.num_groups,
        num_rollouts=work.num_rollouts,
        failed=tuple(sorted(work.failed)),
        last_failure=work.last_failure,
        refused=tuple(sorted(work.refused)),
    )


def answered_directly(store: ProbeRows) -> set[str]:
    """Ids of the samples whose direct answer was correct."""
    rows = store.rows()
    return {r.sample_id for r in rows if r.stage == "direct" and any(_correct(r))}


def _decided(store: ProbeRows, rollouts: int) -> set[str]:
    """Ids of the samples whose first rollouts were neither all right nor all wrong."""
    first: dict[str, list[bool]] = {}
    for row in store.rows():
        if row.stage == "reasoned":
            first.setdefault(row.sample_id, []).extend(_correct(row))
    return {i for i, found in first.items() if 0 < sum(found[:rollouts]) < rollouts}


def _correct(row: ProbeRow) -> Iterator[bool]:
    return (completion.correct for completion in row.completions)


class _Plan:
    """How one stage asks: prompt, sampling, rollouts a sample, where the answer is looked for."""

    def __init__(self, stage: Stage, config: ProbeConfig) -> None:
        self.stage: Stage = stage
        self.extract: Extract
        if stage == "direct":
            short = {"max_new_tokens": config.direct_max_tokens}
            self.sampling = config.sampling.greedy().model_copy(update=short)
            self.prompt, self.extract, self.rollouts = system_prompt("answer"), "plain", 1
        else:
            self.sampling, self.rollouts = config.sampling, config.rollouts
            self.prompt, self.extract = system_prompt(config.grammar), config.extract


@dataclass(frozen=True, slots=True)
class _Batch:
    """Samples that lack the same number of rollouts in the same round, asked for in one call."""

    samples: tuple[Sample, ...]
    round: int
    rollouts: int

    def seed(self, base: int, stage: Stage) -> int:
        """Engines mix the sample's own name in. What a sample gets depends on nothing else: not on
        its neighbours, the size of batches, or how often the probe has been stopped."""
        digest = hashlib.sha256(f"{base}/{stage}/{self.round}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


class _Work:
    """Runs the batches of a stage, a few at a time, and stores what comes back."""

    def __init__(
        self,
        config: ProbeConfig,
        store: ProbeRows,
        on_progress: Callable[[Stage, int], None] | None,
        refusals: Refusals,
    ) -> None:
        self.config = config
        self.store = store
        self.on_progress = on_progress
        self.refusals = refusals
        self.refused: set[str] = set()
        self.num_groups = 0
        self.num_rollouts = 0
        self.num_failures = 0
        self.failed: set[str] = set()
        self.last_failure = ""

    def run(
        self,
        plan: _Plan,
        samples: Iterable[Sample],
        engine: RolloutEngine,
        *,
        skip: Collection[str] = (),
    ) -> None:
        batches = self._batches(plan, samples, skip)
        if self.config.workers == 1:
            for batch in batches:
                self._finish(plan, batch, lambda batch=batch: self._ask(plan, batch, engine))
            return
        with ThreadPoolExecutor(self.config.workers) as pool:
            running: dict[Future[list[ProbeRow]], _Batch] = {}
            try:
                for batch in batches:
                    running[pool.submit(self._ask, plan, batch, engine)] = batch
                    if len(running) >= self.config.workers:
                        self._collect(plan, running)
                while running:
                    self._collect(plan, running)
            except BaseException:  # Ctrl-C too: calls that wait in the queue must not be made
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _batches(
        self, plan: _Plan, samples: Iterable[Sample], skip: Collection[str]
    ) -> Iterator[_Batch]:
        """The samples that lack rollouts, those that lack as many in the same round together."""
        open_batches: dict[tuple[int, int], list[Sample]] = {}
        for sample in samples:
            stored = self.store.num_rollouts(plan.stage, sample.id)
            missing = plan.rollouts - stored
            is_done = missing <= 0 or self._is_refused(plan.stage, sample)
            if is_done or sample.id in skip:
                if self.on_progress and is_done:
                    self.on_progress(plan.stage, 1)
                continue
            key = (self.store.next_round(plan.stage, sample.id), missing)
            open_batches.setdefault(key, []).append(sample)
            if len(open_batches[key]) == self.config.batch_size:
                yield _Batch(tuple(open_batches.pop(key)), *key)
        for key, rest in open_batches.items():
            yield _Batch(tuple(rest), *key)

    def _is_refused(self, stage: Stage, sample: Sample) -> bool:
        """Whether the very same question has been refused before."""
        row = self.store.refusal(stage, sample.id)
        if row is None or row.asked != question_hash(sample):
            return False
        self.refused.add(sample.id)
        return True

    def _ask(self, plan: _Plan, batch: _Batch, engine: RolloutEngine) -> list[ProbeRow]:
        groups = engine.generate(
            batch.samples,
            group_size=batch.rollouts,
            sampling=plan.sampling,
            system_prompt=plan.prompt,
            seed=batch.seed(self.config.seed, plan.stage),
        )
        return [grade_group(group, plan.stage, batch.round, plan.extract) for group in groups]

    def _collect(self, plan: _Plan, running: dict[Future[list[ProbeRow]], _Batch]) -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            self._finish(plan, running.pop(future), future.result)

    def _finish(self, plan: _Plan, batch: _Batch, result: Callable[[], list[ProbeRow]]) -> None:
        """Store what a call brought; a call that failed is counted and its samples set aside."""
        try:
            rows = result()
        except EngineError as error:
            self.num_failures += 1
            self.failed.update(sample.id for sample in batch.samples)
            self.last_failure = str(error)
            if self.num_failures > self.config.max_failures:
                raise EngineError(
                    f"{self.num_failures} calls of the probe have failed, the last with: {error} "
                    "What has been answered is stored; run the same command again to go on."
                ) from error
            return
        self.store.append(rows)
        self.num_groups += sum(bool(row.completions) for row in rows)
        self.num_rollouts += sum(len(row.completions) for row in rows)
        if self.on_progress:
            self.on_progress(plan.stage, len(rows))
        self.refused |= {row.sample_id for row in rows if row.refused}
        for row in rows:
            self.refusals.note("" if row.completions else row.refused)
        self.refusals.check()


def grade_group(group: RolloutGroup, stage: Stage, round: int, extract: Extract) -> ProbeRow:
    """Grade the completions of one sample."""
    graded = []
    for completion in group.completions_G:
        verdict = _grade(completion.text, group.sample, extract)
        graded.append(
            ProbedCompletion(
                text=completion.text,
                answer=verdict.answer,
                correct=verdict.correct,
                num_tokens=completion.num_tokens,
                truncated=completion.truncated,
            )
        )
    return ProbeRow(
        stage=stage, sample_id=group.sample.id, round=round, completions=tuple(graded),
        refused=group.refused, asked=question_hash(group.sample),
    )  # fmt: skip


def regrade(row: ProbeRow, sample: Sample, extract: Extract) -> ProbeRow:
    """The same rollouts against the sample's present gold: after a review has corrected it."""
    extract = "plain" if row.stage == "direct" else extract
    graded = []
    for completion in row.completions:
        verdict = _grade(completion.text, sample, extract)
        graded.append(replace(completion, answer=verdict.answer, correct=verdict.correct))
    return replace(row, completions=tuple(graded))


def _grade(text: str, sample: Sample, extract: Extract) -> Grade:
    options = sample.options or None
    return grade(text, sample.answer, kind=sample.kind, options=options, extract=extract)
