"""A person looks at the hardest questions: a page to decide on, and the decisions read back.

    write_review   samples + probe ─▶ review.html: picture, question, gold, the model's answers
    read_reviewed  decisions.jsonl ─▶ samples with corrected golds, rollouts graded against them

Suspicious golds come first: the more the rollouts agree with each other against the gold, the
likelier it is the gold that is wrong.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from observe_r1.data.checking import checked_gold
from observe_r1.data.columns import IMAGE_MARKER
from observe_r1.data.difficulty import Difficulty, ProbedCompletion
from observe_r1.data.ladder import Decision
from observe_r1.data.sources.base import BadRow
from observe_r1.data.store import SampleSet, read_samples
from observe_r1.errors import DataError
from observe_r1.probe.results import read_results
from observe_r1.probe.run import regrade
from observe_r1.probe.store import ProbeRow, read_probe, refuse_changed
from observe_r1.records import read_json, write_atomic
from observe_r1.text import format_question
from observe_r1.types import Sample

DECISIONS = "decisions.jsonl"
_SHOWN_ROLLOUTS = 3
_MAX_ANSWER_WORDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One question of the page.

    Example:
        Doubt(index=17, suspicion=0.875, votes=(("12", 7), ("10", 1)), completions=(…))
    """

    index: int
    suspicion: float
    """Share of the rollouts that agree on the most frequent wrong answer."""
    votes: tuple[tuple[str, int], ...]
    completions: tuple[ProbedCompletion, ...]
    difficulty: Difficulty


def write_review(
    folder: Path, samples: SampleSet, path: Path, *, level: int = 8, limit: int = 200
) -> int:
    """Write the page for samples of ``level`` and above; returns how many are on it.

    What is decided already in ``folder`` is on the page and comes last, so that the next page of
    many begins where the last one ended, and what it saves holds all decisions.
    """
    doubts = find_doubts(folder / "probe", samples, level=level)
    decided = _decided_rows(folder / DECISIONS)
    ids = samples.column("id")
    doubts.sort(key=lambda doubt: str(ids[doubt.index]) in decided)
    shown = [_shown(samples[doubt.index], doubt) for doubt in doubts[:limit]]
    write_atomic(path, _page(folder, shown, len(doubts), decided))
    return len(shown)


def _decided_rows(path: Path) -> dict[str, dict[str, str]]:
    """What the page would have saved, by sample id."""
    decided, golds = read_decisions(path, is_named=False)
    rows: dict[str, dict[str, str]] = {}
    for sample_id, decision in decided.items():
        rows[sample_id] = {"id": sample_id, "decision": decision}
        if sample_id in golds:
            rows[sample_id]["answer"] = golds[sample_id]
    return rows


def find_doubts(probe: Path, samples: SampleSet, *, level: int) -> list[Doubt]:
    """The probed samples of ``level`` and above and all that were never solved (a few rollouts do
    not make a level 8), the most suspicious first."""
    results = read_results(probe)
    difficulty = results.difficulty
    hard = {i for i, d in difficulty.items() if d.level >= level or not d.num_correct}
    completions: dict[str, list[ProbedCompletion]] = {}
    for row in read_probe(probe):
        if row.stage == "reasoned" and row.sample_id in hard:
            completions.setdefault(row.sample_id, []).extend(row.completions)
    indices = {str(sample_id): i for i, sample_id in enumerate(samples.column("id"))}
    doubts = [
        _doubt(indices[i], found, difficulty[i]) for i, found in completions.items() if i in indices
    ]
    refuse_changed((samples[doubt.index] for doubt in doubts), results.asked)
    return sorted(doubts, key=lambda doubt: (-doubt.suspicion, doubt.index))


def _doubt(index: int, completions: Sequence[ProbedCompletion], measured: Difficulty) -> Doubt:
    answers = Counter(_vote(completion) for completion in completions)
    wrong = Counter(_vote(c) for c in completions if not c.correct and c.answer is not None)
    suspicion = max(wrong.values(), default=0) / len(completions)
    return Doubt(
        index=index,
        suspicion=suspicion,
        votes=tuple(answers.most_common()),
        completions=tuple(completions),
        difficulty=measured,
    )


def _vote(completion: ProbedCompletion) -> str:
    if completion.answer is None:
        return "(no answer)"
    return " ".join(completion.answer.split())[:200] + (" ✓" if completion.correct else "")


def _shown(sample: Sample, doubt: Doubt) -> dict[str, Any]:
    """What the template prints of one question; Jinja escapes every text."""
    question = format_question(sample).replace(IMAGE_MARKER, "[image]")
    return {
        "id": sample.id,
        "question": question,
        "images": [_data_url(image) for image in sample.images],
        "gold": sample.answer,
        "kind": sample.kind,
        "source": sample.source,
        "suspicion": doubt.suspicion,
        "votes": doubt.votes,
        "num_rollouts": len(doubt.completions),
        "num_correct": doubt.difficulty.num_correct,
        "texts": [completion.text for completion in doubt.completions[:_SHOWN_ROLLOUTS]],
    }


def _data_url(image: bytes) -> str:
    kind = {b"\x89PN": "png", b"\xff\xd8\xff": "jpeg"}.get(image[:3], "webp")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def _page(
    folder: Path, shown: list[dict[str, Any]], num_found: int, decided: dict[str, dict[str, str]]
) -> str:
    from jinja2 import Environment, StrictUndefined

    template = (Path(__file__).parent / "review.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    place = f"{folder.resolve()}\n{json.dumps(decided)}"  # not another folder's, nor older ones
    return environment.from_string(template).render(
        folder=folder.resolve().name,
        questions=shown,
        num_found=num_found,
        decided=decided,
        key=hashlib.sha256(place.encode()).hexdigest()[:16],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """Everything ``build_ladder`` needs of a folder, decisions applied."""

    samples: "SampleSet | CorrectedSamples"
    difficulty: Mapping[str, Difficulty] | None
    """None: the samples carry their levels themselves."""
    answered_directly: frozenset[str]
    decisions: Mapping[str, Decision]
    probe: Mapping[str, Any] | None
    """Which model and settings the rollouts come from."""


def read_reviewed(folder: Path, decisions: Path | None = None) -> Reviewed:
    """Samples, probe and decisions of a folder. A corrected gold grades its rollouts anew."""
    samples = read_samples(folder)
    path = decisions or folder / DECISIONS
    decided, golds = read_decisions(path, decisions is not None)
    if decided and decided.keys().isdisjoint(samples.column("id").tolist()):
        raise DataError(
            f"{path} decides on {len(decided)} samples, none of which is in {folder}. It was saved "
            "for another folder: name the right one with --decisions, or move it away."
        )
    corrected = CorrectedSamples(samples, golds) if golds else samples
    probe = folder / "probe"
    if not (probe / "rollouts.jsonl").exists():
        return Reviewed(
            samples=corrected, difficulty=None, answered_directly=frozenset(), decisions=decided,
            probe=None,
        )  # fmt: skip
    identity = read_json(probe / "probe.json")
    fixed = {sample.id: sample for sample in _fixed_samples(corrected, golds)}

    def graded_anew(row: ProbeRow) -> ProbeRow:
        sample = fixed.get(row.sample_id)
        return regrade(row, sample, identity["extract"]) if sample else row

    results = read_results(probe, correct_row=graded_anew)
    refuse_changed(samples, results.asked)
    return Reviewed(
        samples=corrected,
        difficulty=results.difficulty,
        answered_directly=results.answered_directly,
        decisions=decided,
        probe=identity,
    )


def read_decisions(path: Path, is_named: bool) -> tuple[dict[str, Decision], dict[str, str]]:
    """Decisions by sample id, and the corrected golds; the last word on a sample counts."""
    if not path.exists():
        if is_named:
            raise DataError(f"{path} does not exist. Save it from the review page first.")
        return {}, {}
    decided: dict[str, Decision] = {}
    golds: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            sample_id, decision = str(row["id"]), row["decision"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no decision ({error!r}).") from None
        if decision not in ("keep", "fix", "drop"):
            raise DataError(f"{path}, line {number}: '{decision}' is not keep, fix or drop.")
        golds.pop(sample_id, None)
        decided[sample_id] = decision
        if decision == "fix":
            if not str(row.get("answer") or "").strip():
                raise DataError(f"{path}, line {number}: a fix without the right answer.")
            golds[sample_id] = str(row["answer"])
    return decided, golds


class CorrectedSamples(Sequence[Sample]):
    """Samples some of whose golds a person has corrected; as lazy as what it wraps."""

    def __init__(self, samples: SampleSet, golds: Mapping[str, str]) -> None:
        self._samples = samples
        self._golds = golds

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "CorrectedSamples": ...
    def __getitem__(self, index: int | slice) -> "Sample | CorrectedSamples":
        if isinstance(index, slice):
            return CorrectedSamples(self._samples[index], self._golds)
        return self._corrected(self._samples[index])

    def __iter__(self) -> Iterator[Sample]:
        return map(self._corrected, self._samples)

    def take(self, indices: Sequence[int] | np.ndarray) -> "CorrectedSamples":
        return CorrectedSamples(self._samples.take(indices), self._golds)

    def column(self, name: str) -> np.ndarray:
        values = self._samples.column(name)
        if name in ("answer", "kind"):
            values = np.array([getattr(sample, name) for sample in self], dtype=object)
        return values

    def _corrected(self, sample: Sample) -> Sample:
        gold = self._golds.get(sample.id)
        if gold is None:
            return sample
        try:
            answer, kind = checked_gold(gold, sample.options, None, _MAX_ANSWER_WORDS)
        except BadRow as bad:
            raise DataError(
                f"The corrected answer {gold!r} of {sample.id} cannot be checked: {bad}. "
                "Change it in decisions.jsonl."
            ) from None
        return replace(sample, answer=answer, kind=kind)


def _fixed_samples(
    samples: "SampleSet | CorrectedSamples", golds: Mapping[str, str]
) -> Iterator[Sample]:
    if golds:
        for index, sample_id in enumerate(samples.column("id").tolist()):
            if sample_id in golds:
                yield samples[index]
