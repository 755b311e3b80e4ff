"""Everything a page shows of a run, as JSON values; the groups apart, because they are many."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from observe_r1.report import rows
from observe_r1.report.curves import MAX_POINTS, build_curves
from observe_r1.report.evaluations import build_table, read_evaluations
from observe_r1.report.findings import examine, gather
from observe_r1.report.groups import Question, read_group
from observe_r1.report.images import Album
from observe_r1.report.index import Index
from observe_r1.report.ladder import build_ladder
from observe_r1.report.overview import build_overview, list_stages
from observe_r1.report.run import RunFolder, state
from observe_r1.report.select import PageLimits, choose_groups

MAX_QUESTION = 20_000


def build_payload(run: RunFolder, index: Index) -> dict[str, Any]:
    """The whole page without its groups."""
    table = build_table(read_evaluations(run))
    checkup = examine(gather(run, index))
    return {
        "name": run.name,
        "state": state(run),
        "problems": problems(run, index),
        "notes": list(run.notes),
        "stages": list_stages(run),
        "generated": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "key": [*change_of(table), *key_numbers(run, index)],
        "overview": build_overview(run, index),
        "table": table,
        "curves": build_curves(run.metrics),
        "averaged": len(run.metrics.steps) > MAX_POINTS,
        "ladder": build_ladder(run, index),
        "findings": [finding.to_dict() for finding in checkup.findings],
        "silent": list(checkup.silent),
        "choices": choices(run, index),
    }


def problems(run: RunFolder, index: Index) -> list[str]:
    found = list(run.problems)
    if index.broken:
        found.append(f"{index.broken} damaged lines of rollouts.jsonl were left out.")
    return found


def change_of(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What training has brought on held-out questions: the number that people look for first."""
    if not table["changes"]:
        return []
    change = table["changes"][0]
    names = ("from", "to", "value", "low", "high", "first", "second", "questions")
    return [{"label": "held-out accuracy", **{name: change[name] for name in names}}]


def key_numbers(run: RunFolder, index: Index) -> list[dict[str, Any]]:
    """The few numbers at the top of the page."""
    accuracy = run.metrics.values("accuracy")
    numbers: list[dict[str, Any]] = [
        {"label": "steps", "value": run.last_step or 0, "of": run.planned_steps},
    ]
    if index.num_groups:
        numbers.append({"label": "groups", "value": index.num_groups})
        numbers.append({"label": "completions", "value": index.num_rollouts})
    if accuracy:
        tail = [value for _, value in accuracy[-10:]]
        label = f"accuracy, last {len(tail)} steps" if len(tail) > 1 else "accuracy"
        numbers.append({"label": label, "share": sum(tail) / len(tail)})
    return numbers


def choices(run: RunFolder, index: Index) -> dict[str, Any]:
    """What the filters of the groups can be set to."""
    questions = run.questions.values()
    steps = index.groups["step"]
    return {
        "rungs": sorted({q.rung for q in questions if q.rung is not None}),
        "families": sorted({q.family for q in questions if q.family}),
        "steps": [int(steps.min()), int(steps.max())] if index.num_groups else None,
    }


def build_groups(run: RunFolder, index: Index, limits: PageLimits) -> dict[str, Any]:
    """The groups a page holds, with their questions and pictures."""
    chosen = choose_groups(index, limits)
    groups = [read_group(run.rollouts, index, int(place), limits.text) for place in chosen]
    album = Album(run.path, limits.picture_side, limits.picture_bytes)
    asked = dict.fromkeys(group["sample"] for group in groups)
    questions = {name: question_values(name, run.questions.get(name), album) for name in asked}
    return {
        "groups": groups,
        "questions": questions,
        "pictures": album.pictures,
        "note": _note(len(groups), index.num_groups, album),
    }


def question_values(
    name: str, question: Question | None, album: Album | None = None
) -> dict[str, Any]:
    """A question as the page shows it; ``pictures`` holds keys, None for one that is missing."""
    if question is None:
        return {"id": name, "text": "", "missing": True, "pictures": []}
    return {
        "id": question.id,
        "text": rows.shorten(question.text, MAX_QUESTION)[0],
        "answer": rows.shorten(question.answer, MAX_QUESTION)[0],
        "kind": question.kind,
        "options": list(question.options)[:40],
        "family": question.family,
        "level": question.level,
        "rung": question.rung,
        "pictures": [album.add(image) for image in question.images[:16]] if album else [],
    }


def _note(shown: int, total: int, album: Album) -> str:
    notes = []
    if shown < total:
        notes.append(
            f"This page holds {shown:,} of {total:,} groups: all groups of the questions asked "
            "most often, the others spread evenly over the run. ‘observe-r1 view’ shows every one."
        )
    if album.left_out:
        notes.append(f"{album.left_out:,} pictures were left out to keep the page small.")
    if album.unreadable:
        notes.append(f"{album.unreadable:,} pictures are missing or cannot be read.")
    return " ".join(notes)


def to_json(value: Any) -> str:
    """JSON that may stand inside a script element, and that ``JSON.parse`` accepts.

    ASCII only, so U+2028 and lone surrogates are escapes; ``<``, ``>`` and ``&`` are escapes too,
    so that no text can close the element or open a comment in it.
    """
    encoded = json.dumps(clean(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def clean(value: Any) -> Any:
    """The same value without NaN and infinities."""
    if isinstance(value, float):
        return rows.number(value)
    if isinstance(value, Mapping):
        return {str(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [clean(inner) for inner in value]
    return value
