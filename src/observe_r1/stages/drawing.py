"""Responses are drawn until every question has enough; each is on disk before the next is asked.

    questions ─▶ (asked greedily, without hint: only those answered wrong, or right, go on)
              ─▶ rounds of responses ─▶ graded ─▶ drawn/rollouts.jsonl
                    ▲                                  │
                    └──── too few passed the filters ◀─┘

The store is the probe's: append-only, a row a question and round, whole or not there at all. What a
server replies is paid for, so each reply is on disk as it comes and waits there for the rest of its
round. A stop, or a server that fails half way, loses what is on its way and nothing else. Of a
question that the server refuses is kept what came, and it is not asked again in the same words.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from observe_r1.calls import Calls
from observe_r1.config.rollout import Sampling
from observe_r1.config.sample import SampleStage
from observe_r1.config.teach import TeachStage
from observe_r1.config.traces import PLACEHOLDER, Hint, takes_no_beginning
from observe_r1.data.difficulty import ProbedCompletion
from observe_r1.data.trace_filters import RowFilter
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import ConfigError, DataError, EngineError, RefusedError
from observe_r1.grading import grade
from observe_r1.probe.store import ProbeRow, ProbeStore, Stage
from observe_r1.refusals import Refusals
from observe_r1.rollout.base import RolloutEngine
from observe_r1.rollout.endpoint import EndpointEngine
from observe_r1.rollout.sampling import stable_seed
from observe_r1.stages.replies import WaitingReplies
from observe_r1.text import format_question, parse_response, system_prompt
from observe_r1.types import Completion, RolloutGroup, Sample

logger = logging.getLogger(__name__)

GREEDY: Stage = "direct"
DRAWN: Stage = "reasoned"
MAX_FAILURES = 10
"""Calls that may fail before a server is given up."""

WritingStage = SampleStage | TeachStage
OnBatch = Callable[[Sequence[ProbeRow], int], None]
"""Told about stored rows, and how many questions they are of."""


class Asker:
    """Puts questions to an engine, with the hint or without it."""

    def __init__(
        self, engine: RolloutEngine, stage: WritingStage, known: TraceSet | None = None
    ) -> None:
        self.engine = engine
        self.stage = stage
        own = stage.system_prompt
        self.prompt = system_prompt(stage.grammar) if own is None else own
        self.shows_images = not isinstance(stage, TeachStage) or stage.show_images
        self.known: Mapping[str, TraceRow] = {}
        if known is not None:
            self.known = {row.sample_id: row for row in reversed(known.rows)}

    def can_ask(self, sample: Sample) -> bool:
        """Whether everything that the hint speaks of is there for this question."""
        hint = self.stage.hint
        return hint is None or all(
            self._value(name, sample) is not None for name in PLACEHOLDER.findall(hint.text)
        )

    def ask(
        self, samples: Sequence[Sample], count: int, *, greedy: bool, number: int
    ) -> list[RolloutGroup]:
        """``count`` responses to each question; ``number`` is the round."""
        asking = self._asking(greedy, number)
        if asking.hint is not None and asking.hint.place == "response":
            shown = [self._shown(sample) for sample in samples]
            return self._go_on(shown, count, asking.sampling, asking.seed, asking.hint)
        return self.engine.generate(
            [self._worded(sample, asking.hint) for sample in samples],
            group_size=count, sampling=asking.sampling, system_prompt=asking.prompt,
            seed=asking.seed,
        )  # fmt: skip

    @property
    def asks_server(self) -> bool:
        """Whether replies come one by one, each paid for."""
        return isinstance(self.engine, EndpointEngine)

    def ask_server(
        self, sample: Sample, places: Sequence[int], *, greedy: bool, number: int
    ) -> Iterator[tuple[int, Completion]]:
        """The round's responses at ``places``, each with its place as it comes."""
        assert isinstance(self.engine, EndpointEngine)
        asking = self._asking(greedy, number)
        if asking.hint is not None and asking.hint.place == "response":
            raise ConfigError(takes_no_beginning(self.stage.name))
        return self.engine.draw(
            self._worded(sample, asking.hint), places, sampling=asking.sampling,
            system_prompt=asking.prompt, seed=asking.seed, grammar=self.stage.grammar,
        )  # fmt: skip

    def request_hash(self, sample: Sample, *, greedy: bool) -> str:
        """Of what a server is sent for this question, whatever the round."""
        assert isinstance(self.engine, EndpointEngine)
        asking = self._asking(greedy, number=0)
        worded = self._worded(sample, asking.hint)
        return self.engine.request_hash(worded, asking.sampling, asking.prompt)

    def _asking(self, greedy: bool, number: int) -> "_Asking":
        hint = None if greedy else self.stage.hint
        prompt = self.prompt
        if hint is not None and hint.place == "system":
            prompt = f"{prompt}\n{hint.text}".strip()
        return _Asking(
            sampling=self.stage.sampling.greedy() if greedy else self.stage.sampling,
            hint=hint, prompt=prompt,
            seed=stable_seed(self.stage.seed, "greedy" if greedy else number),
        )  # fmt: skip

    def _worded(self, sample: Sample, hint: Hint | None) -> Sample:
        shown = self._shown(sample)
        if hint is not None and hint.place == "question":
            return self._with_hint(shown, hint)
        return shown

    def _shown(self, sample: Sample) -> Sample:
        if self.shows_images:
            return sample
        return replace(sample, images=(), question=sample.question.replace("<image>", "").strip())

    def _with_hint(self, sample: Sample, hint: Hint) -> Sample:
        question = f"{format_question(sample)}\n{self._text(hint, sample)}"
        return replace(sample, question=question, options=())

    def _text(self, hint: Hint, sample: Sample) -> str:
        return PLACEHOLDER.sub(lambda m: str(self._value(m[1], sample)), hint.text)

    def _value(self, name: str, sample: Sample) -> str | None:
        if name == "answer":
            return sample.answer
        row = self.known.get(sample.id)
        if row is None:
            return None
        if name == "response":
            return row.response
        section = parse_response(row.response, row.grammar).first(name)
        return section or (row.caption or None if name == "caption" else None)

    def _go_on(
        self, samples: Sequence[Sample], count: int, sampling: Sampling, seed: int, hint: Hint
    ) -> list[RolloutGroup]:
        """Responses that begin with the hint: it is written, and the model continues."""
        engine: Any = self.engine  # those that take tokens hold the model whose tokens they are
        tokenizer = engine.policy.processor.tokenizer
        begun = [
            tokenizer(self._text(hint, s), add_special_tokens=False, split_special_tokens=True)
            ["input_ids"]
            for s in samples
        ]  # fmt: skip
        groups = self.engine.generate(
            samples, group_size=count, sampling=sampling, system_prompt=self.prompt, seed=seed,
            written_P=begun,
        )  # fmt: skip
        return [
            RolloutGroup(
                sample=group.sample,
                completions_G=tuple(
                    replace(c, text=self._text(hint, group.sample) + c.text,
                            token_ids=(*ids, *c.token_ids))
                    for c in group.completions_G
                ),
            )
            for group, ids in zip(groups, begun, strict=True)
        ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """How one round is asked."""

    sampling: Sampling
    hint: Hint | None
    prompt: str
    """The system prompt, the hint in it where that is its place."""
    seed: int


@dataclass(slots=True)
class Drawer:
    """Fills the store until every question has its responses."""

    stage: WritingStage
    asker: Asker
    store: ProbeStore
    workers: int
    """Calls of a server at the same time, a question each; other engines get a batch a call."""
    on_batch: OnBatch
    waiting: WaitingReplies = field(init=False)
    refusals: Refusals = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = WaitingReplies(self.store)
        job = f"stage '{self.stage.name}'"
        self.refusals = Refusals(job, has_answers=self.store.has_answers)

    def run(self, questions: Sequence[Sample]) -> dict[str, int]:
        """Ask; how many questions are left out, by why."""
        askable = self._askable(questions)
        num_unhinted = len(questions) - len(askable)
        if self.stage.ask_if_greedy != "any":
            self._ask_missing(askable, GREEDY, 1)
            askable = self._answered_as_wanted(askable)
        while pending := self._pending(askable):
            for missing, samples in pending.items():
                self._ask_missing(samples, DRAWN, missing)
        self.waiting.remove()
        return {"without_hint": num_unhinted, "refused": self._count_refused(questions)}

    def _askable(self, questions: Sequence[Sample]) -> list[Sample]:
        """Those that have what the hint speaks of."""
        name, hint = self.stage.name, self.stage.hint
        askable = [sample for sample in questions if self.asker.can_ask(sample)]
        if not askable:
            raise DataError(
                f"stage '{name}': the hint {hint.text!r} speaks of something that none of the "
                f"{len(questions)} questions has. Name a section that the traces of hint.of_traces "
                "have."
                if hint
                else f"stage '{name}' has no question to ask."
            )
        if hint and len(askable) < len(questions):
            logger.warning(
                "stage '%s': %d of %d questions do not have what the hint %r speaks of; they are "
                "not asked", name, len(questions) - len(askable), len(questions), hint.text,
            )  # fmt: skip
        return askable

    def _count_refused(self, questions: Sequence[Sample]) -> int:
        stages: tuple[Stage, ...] = (GREEDY, DRAWN)
        found = (self.store.refusal(stage, s.id) for s in questions for stage in stages)
        refused = {row.sample_id: row.refused for row in found if row is not None}
        if refused:
            example, words = next(iter(refused.items()))
            logger.warning(
                "stage '%s': the server refused %d of %d questions, for example '%s': %s; they are "
                "left out", self.stage.name, len(refused), len(questions), example, words,
            )  # fmt: skip
        return len(refused)

    def _is_refused(self, stage: Stage, sample: Sample) -> bool:
        """Whether the very same request has been refused, now or in an earlier run."""
        row = self.store.refusal(stage, sample.id)
        if row is None or not self.asker.asks_server:
            return False
        return row.asked == self.asker.request_hash(sample, greedy=stage == GREEDY)

    def _answered_as_wanted(self, samples: Sequence[Sample]) -> list[Sample]:
        wanted = self.stage.ask_if_greedy == "right"
        found = {
            row.sample_id for row in self.store.rows()
            if row.stage == GREEDY and [c.correct for c in row.completions] == [wanted]
        }  # fmt: skip
        left = [sample for sample in samples if sample.id in found]
        if not left:
            raise DataError(
                f"stage '{self.stage.name}': none of {len(samples)} questions was answered "
                f"{self.stage.ask_if_greedy} greedily, so there is none to go on with. Ask other "
                "questions, or set ask_if_greedy to 'any'."
            )
        return left

    def _pending(self, samples: Sequence[Sample]) -> dict[int, list[Sample]]:
        """The questions that need more, by how many responses they get next."""
        stage = self.stage
        passed = self._passed(samples) if stage.wanted is not None else {}
        pending: dict[int, list[Sample]] = {}
        for sample in samples:
            drawn = self.store.num_rollouts(DRAWN, sample.id)
            if stage.wanted is not None and passed.get(sample.id, 0) >= stage.wanted:
                continue
            missing = min(stage.attempts_per_round or stage.attempts, stage.attempts - drawn)
            if missing > 0 and not self._is_refused(DRAWN, sample):
                pending.setdefault(missing, []).append(sample)
        return pending

    def _passed(self, samples: Sequence[Sample]) -> dict[str, int]:
        """How many responses of each question pass the filters that look at one trace."""
        rules = [rule for rule in self.stage.filters if isinstance(rule, RowFilter)]
        counts: dict[str, int] = {}
        for row in to_traces(self.store.rows(), samples, self.stage, origin=""):
            known = [r for r in rules if r.needs is None or getattr(row, r.needs) is not None]
            if all(rule.keeps(row) for rule in known):
                counts[row.sample_id] = counts.get(row.sample_id, 0) + 1
        return counts

    def _ask_missing(self, samples: Sequence[Sample], stage: Stage, count: int) -> None:
        todo = [s for s in samples if stage != GREEDY or not self._is_settled(s)]
        failures: list[EngineError] = []
        for rows in self._answers(todo, stage, count, failures):
            self.store.append(rows)
            self.on_batch(rows, len(rows))
        if failures:
            raise EngineError(
                f"stage '{self.stage.name}': {len(failures)} calls failed, the last with: "
                f"{failures[-1]} What was answered is kept: {self._num_kept()} replies in "
                f"{self.store.folder}. Put the server right and go on with --resume, which asks "
                "only for the rest."
            ) from failures[-1]
        self.refusals.check(at_end=True)

    def _is_settled(self, sample: Sample) -> bool:
        """Whether the greedy answer is there, or never will be."""
        is_there = self.store.num_rollouts(GREEDY, sample.id) > 0
        return is_there or self._is_refused(GREEDY, sample)

    def _num_kept(self) -> int:
        return sum(len(row.completions) for row in self.store.rows()) + len(self.waiting)

    def _answers(
        self, samples: Sequence[Sample], stage: Stage, count: int, failures: list[EngineError]
    ) -> Iterator[list[ProbeRow]]:
        """What each call brought; calls that failed or were refused are noted, and too many end
        it."""
        if not self.asker.asks_server:
            size = self.stage.questions_per_batch
            for begin in range(0, len(samples), size):
                yield self._call(samples[begin : begin + size], stage, count)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            tasks = (partial(self._call_server, sample, stage, count) for sample in samples)
            calls = Calls(pool, tasks, at_once=self.workers)
            try:
                for call in calls:
                    error = call.exception()
                    if isinstance(error, EngineError):
                        failures.append(error)
                    else:
                        row = call.result()
                        self.refusals.note("" if row.completions else row.refused)
                        yield [row]
                    if len(failures) > MAX_FAILURES or self.refusals.are_too_many:
                        calls.stop()  # those that have begun come to their end
            finally:
                calls.stop()

    def _call(self, samples: Sequence[Sample], stage: Stage, count: int) -> list[ProbeRow]:
        rounds = [self.store.next_round(stage, sample.id) for sample in samples]
        found: list[ProbeRow] = []
        for number in sorted(set(rounds)):  # a round draws with numbers of its own
            own = [s for s, r in zip(samples, rounds, strict=True) if r == number]
            groups = self.asker.ask(own, count, greedy=stage == GREEDY, number=number)
            found += [
                ProbeRow(
                    stage=stage, sample_id=sample.id, round=number,
                    completions=tuple(
                        _graded(c, sample, self.stage.extract) for c in group.completions_G
                    ),
                )
                for sample, group in zip(own, groups, strict=True)
            ]  # fmt: skip
        return found

    def _call_server(self, sample: Sample, stage: Stage, count: int) -> ProbeRow:
        """One question's round, without asking for what an earlier run has got of it."""
        number = self.store.next_round(stage, sample.id)
        found = self.waiting.take(stage, sample.id, number)
        missing = [place for place in range(count) if place not in found]
        replies = self.asker.ask_server(sample, missing, greedy=stage == GREEDY, number=number)
        refused = asked = ""
        try:
            for place, completion in replies:
                found[place] = _graded(completion, sample, self.stage.extract)
                self.waiting.add(stage, sample.id, number, place, found[place])
        except RefusedError as error:
            refused = str(error)
            asked = self.asker.request_hash(sample, greedy=stage == GREEDY)
        return ProbeRow(
            stage=stage, sample_id=sample.id, round=number,
            completions=tuple(found[place] for place in range(count) if place in found),
            refused=refused, asked=asked,
        )  # fmt: skip


def _graded(completion: Completion, sample: Sample, extract: Any) -> ProbedCompletion:
    verdict = grade(
        completion.text, sample.answer, kind=sample.kind, options=sample.options or None,
        extract=extract,
    )  # fmt: skip
    logprobs = completion.logprobs
    return ProbedCompletion(
        text=completion.text,
        answer=verdict.answer,
        correct=verdict.correct,
        num_tokens=completion.num_tokens,
        truncated=completion.truncated,
        perplexity=math.exp(-sum(logprobs) / len(logprobs)) if logprobs else None,
    )


def to_traces(
    rows: Iterator[ProbeRow], samples: Sequence[Sample], stage: WritingStage, *, origin: str
) -> list[TraceRow]:
    """Everything drawn, question after question in their order, with each question's solve rate.

    The sampler's perplexity is kept where it is that of the model itself, to the question alone:
    not a teacher's, at another temperature, or after a hint. Elsewhere a filter has it measured.
    """
    is_its_own = (
        isinstance(stage, SampleStage) and stage.sampling.temperature == 1.0 and not stage.hint
    )
    drawn: dict[str, list[ProbeRow]] = {}
    for row in rows:
        if row.stage == DRAWN:
            drawn.setdefault(row.sample_id, []).append(row)
    traces = []
    for sample in samples:
        found = sorted(drawn.get(sample.id, ()), key=lambda row: row.round)
        completions = [completion for row in found for completion in row.completions]
        right = sum(completion.correct for completion in completions)
        traces += [
            TraceRow(
                sample_id=sample.id, response=c.text, grammar=stage.grammar,
                system_prompt=stage.system_prompt, origin=origin, stage=stage.name,
                correct=c.correct, num_tokens=c.num_tokens, truncated=c.truncated,
                perplexity=c.perplexity if is_its_own else None,
                solve_rate=right / len(completions),
            )
            for c in completions
        ]  # fmt: skip
    return traces
