"""Ask, mark, save, count: one evaluation, resumable.

    samples ──batch of 16──▶ engine ──▶ mark (strict, lenient, format) ──▶ predictions.jsonl
                                   │                                      scores.json at the end
                                   └─▶ questions that a server refuses ──▶ refused.jsonl

A batch is answered from (seed, its number) and appended as a whole, so an evaluation that was
stopped and continued gives the same answers as one that was not.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import Evaluation
from observe_r1.errors import DataError, EngineError, RunError
from observe_r1.eval.scores import Scores, compute_scores
from observe_r1.grading import grade
from observe_r1.records import append_rows, read_json, read_rows, to_line, write_atomic, write_json
from observe_r1.refusals import Refusals
from observe_r1.rollout.base import RolloutEngine
from observe_r1.text import parse_response, system_prompt
from observe_r1.types import Completion, RolloutGroup, Sample

logger = logging.getLogger(__name__)

PREDICTIONS = "predictions.jsonl"
REFUSED = "refused.jsonl"
SCORES = "scores.json"
SETTINGS = "config.json"


def evaluate(
    engine: RolloutEngine,
    samples: Sequence[Sample],
    config: Evaluation,
    out: str | Path,
    *,
    model: str = "",
    tick: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Answer ``samples`` and write ``predictions.jsonl`` and ``scores.json`` into ``out``.

    ``model`` is recorded with the settings; answers of another model, of other questions or with
    other settings in ``out`` are refused. ``tick`` is told how many questions are done.
    """
    out = Path(out)
    refuse_twins(samples)
    out.mkdir(parents=True, exist_ok=True)
    claim_folder(out, config, samples, model)
    batches = list(_batches(samples, config.batch_size))
    done = _keep_whole_batches(out, batches, config.answers_per_question)
    refusals = Refusals(f"evaluation '{config.name}'")
    for number, batch in enumerate(batches):
        if number not in done:
            rows = answer(engine, batch, config, number)
            store_rows(out, rows)
            check_refusals(refusals, rows)
        tick(len(batch))
    return score_folder(out, samples, config, model)


def score_folder(out: Path, samples: Sequence[Sample], config: Evaluation, model: str) -> Scores:
    """The numbers of the saved answers, written to ``scores.json``."""
    _tell_refused(out, samples, config)
    scores = compute_scores(
        samples,
        _rows_of(out / PREDICTIONS),
        name=config.name,
        model=model,
        greedy=config.greedy,
        samples_per_question=config.answers_per_question,
    )
    write_json(out / SCORES, scores.to_dict())
    return scores


def answer(
    engine: RolloutEngine, batch: Sequence[Sample], config: Evaluation, number: int
) -> list[dict[str, Any]]:
    """Rows of the ``number``-th batch of the questions: answers, and what a server refused."""
    prompt = config.system_prompt
    groups = engine.generate(
        batch,
        group_size=config.answers_per_question,
        sampling=config.sampling.greedy() if config.greedy else config.sampling,
        system_prompt=system_prompt(config.grammar) if prompt is None else prompt,
        seed=config.seed,
        step=number,
    )
    return list(_mark_groups(groups, config))


def _mark_groups(groups: Iterable[RolloutGroup], config: Evaluation) -> Iterator[dict[str, Any]]:
    for group in groups:
        if group.refused:  # all answers to a question or none: averages are over equally many
            yield {"sample_id": group.sample.id, "refused": group.refused}
            continue
        for index, completion in enumerate(group.completions_G):
            yield mark(group.sample, index, completion, config)


def mark(sample: Sample, index: int, completion: Completion, config: Evaluation) -> dict[str, Any]:
    """One row of ``predictions.jsonl``: an answer, and whether it is right, read in two ways."""
    text, gold = completion.text, sample.answer
    strict = grade(text, gold, kind=sample.kind, options=sample.options, extract=config.extract)
    lenient = strict
    if not strict.correct and config.extract != "plain":
        lenient = grade(text, gold, kind=sample.kind, options=sample.options, extract="plain")
    return {
        "sample_id": sample.id,
        "index": index,
        "text": text,
        "answer": strict.answer,
        "correct": strict.correct,
        "correct_lenient": lenient.correct,
        "num_tokens": completion.num_tokens,
        "truncated": completion.truncated,
        "well_formed": parse_response(text, config.grammar).well_formed,
    }


def is_answer(row: Mapping[str, Any]) -> bool:
    return "refused" not in row


def store_rows(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    append_rows(out / PREDICTIONS, [row for row in rows if is_answer(row)])
    append_rows(out / REFUSED, [row for row in rows if not is_answer(row)])


def check_refusals(refusals: Refusals, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stop where the server refuses nearly everything."""
    for row in rows:
        refusals.note(row.get("refused", ""))
    refusals.check()


def _tell_refused(out: Path, samples: Sequence[Sample], config: Evaluation) -> None:
    answered = {row["sample_id"] for row in _rows_of(out / PREDICTIONS)}
    refused = {
        row["sample_id"]: row["refused"]
        for row in _rows_of(out / REFUSED)
        if row["sample_id"] not in answered
    }
    if not refused:
        return
    example, words = next(iter(refused.items()))
    message = (
        f"evaluation '{config.name}': the server refused {len(refused)} of {len(samples)} "
        f"questions, for example '{example}': {words}"
    )
    if not answered:
        raise EngineError(
            f"{message} None has an answer. Put the model's name or the settings right, and run "
            "the same command again."
        )
    logger.warning("%s; they are in no average", message)


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    return read_rows(path) if path.exists() else iter(())


def _batches(samples: Sequence[Sample], size: int) -> Iterator[list[Sample]]:
    for start in range(0, len(samples), size):
        yield list(samples[start : start + size])


def refuse_twins(samples: Sequence[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(
                f"two questions have the id '{sample.id}', so their answers could not be told "
                "apart. Give every question its own id."
            )
        seen.add(sample.id)


def claim_folder(out: Path, config: Evaluation, samples: Sequence[Sample], model: str) -> None:
    """Write the settings of a new evaluation; refuse to continue another one."""
    settings = {
        **config.model_dump(mode="json"),
        "model": model,
        "questions": fingerprint(samples),
    }
    path = out / SETTINGS
    if not path.exists():
        write_json(path, settings)
        return
    there = read_json(path)
    changed = [key for key in settings if there.get(key) != settings[key]]
    if changed:
        raise RunError(
            f"{out} holds an evaluation with another {', '.join(changed)}. "
            "Choose another --out, or delete that folder."
        )


def fingerprint(samples: Sequence[Sample]) -> str:
    """Ids, questions and golds: equal for the same questions, whatever file they came from."""
    import hashlib

    digest = hashlib.sha256()
    for sample in samples:
        digest.update(to_line({"id": sample.id, "q": sample.question, "a": sample.answer}).encode())
    return digest.hexdigest()[:16]


def _keep_whole_batches(out: Path, batches: Sequence[Sequence[Sample]], answers: int) -> set[int]:
    """The batches whose answers are all there, or refused; rows of a batch cut short are taken
    out. Where nothing is answered the refusals were for a wrong setting, and are taken out too."""
    rows, refusals = list(_rows_of(out / PREDICTIONS)), list(_rows_of(out / REFUSED))
    counts = Counter(row["sample_id"] for row in rows)
    refused = {row["sample_id"] for row in refusals} if rows else set()
    done = {
        number
        for number, batch in enumerate(batches)
        if all(counts[sample.id] == answers or sample.id in refused for sample in batch)
    }
    whole = {sample.id for number in done for sample in batches[number]}
    for path, found in ((out / PREDICTIONS, rows), (out / REFUSED, refusals)):
        if path.exists():
            lines = [to_line(row) for row in found if row["sample_id"] in whole]
            write_atomic(path, "".join(lines))
    return done
