"""Groups that fit a filter, found through the index; texts are read only when a text is asked for.

The live viewer answers within a moment on any run: a text search reads for a limited time, and says
where to go on.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from observe_r1.report import rows
from observe_r1.report.groups import summary
from observe_r1.report.index import Index
from observe_r1.report.ladder import question_column
from observe_r1.report.run import RunFolder

SEARCH_SECONDS = 0.08
MAX_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class Found:
    """Places of the groups that fit, and where to read on when time ran out."""

    places: np.ndarray
    next: int | None = None
    read: int = 0
    """Groups whose texts were read."""


@dataclass(frozen=True)
class Searchable:
    """A run at one moment, with what its questions say of each group."""

    run: RunFolder
    index: Index
    rungs: np.ndarray
    families: np.ndarray
    orders: dict[str, np.ndarray] = field(default_factory=dict)
    """Every order that was asked for once: sorting a quarter of a million groups takes a while."""

    @classmethod
    def of(cls, run: RunFolder, index: Index) -> "Searchable":
        found = (run.questions.get(name) for name in index.sample_ids)
        names = np.array([question.family if question else "" for question in found], dtype=object)
        families = names[index.groups["sample"]] if index.num_groups else names
        return cls(run, index, question_column(run, index, "rung"), families)

    def order(self, sort: str) -> np.ndarray:
        """All places in the order of that name; the newest first where there is no such order."""
        name = sort if sort in SORTS else "newest"
        if name not in self.orders:
            self.orders[name] = _order(self.index, name)
        return self.orders[name]


def search(shown: Searchable, wanted: Mapping[str, str], seconds: float = SEARCH_SECONDS) -> Found:
    """Groups that fit, sorted."""
    order = shown.order(wanted.get("sort", ""))
    places = order[_mask(shown, wanted)[order]]
    text = wanted.get("text", "")
    if not text:
        return Found(places=places)
    start = min(max(rows.whole(_number(wanted.get("cursor")), 0), 0), len(places))
    return _search_text(shown.run, shown.index, places, start, text, seconds)


def _mask(shown: Searchable, wanted: Mapping[str, str]) -> np.ndarray:
    groups, rates = shown.index.groups, shown.index.solve_rates
    mask = np.ones(len(groups), dtype=bool)
    for name, value in (("from", _number(wanted.get("from"))), ("to", _number(wanted.get("to")))):
        if value is not None:
            mask &= groups["step"] >= value if name == "from" else groups["step"] <= value
    if (rung := _number(wanted.get("rung"))) is not None:
        mask &= shown.rungs == rung
    if "family" in wanted:
        mask &= shown.families == wanted["family"]
    outcome, mark = wanted.get("outcome"), wanted.get("mark")
    if outcome in ("right", "wrong", "mixed"):
        share = {"right": rates >= 1, "wrong": rates <= 0, "mixed": (rates > 0) & (rates < 1)}
        mask &= share[outcome]
    if mark == "truncated":
        mask &= groups["truncated"] > 0
    elif mark == "bonus":
        mask &= groups["bonus"] > 0
    elif mark in ("admitted", "rejected"):
        mask &= (groups["admitted"] > 0) == (mark == "admitted")
    return mask


SORTS = ("newest", "oldest", "hardest", "easiest", "reward", "weight", "longest", "shortest")


def _order(index: Index, sort: str) -> np.ndarray:
    groups, rates = index.groups, index.solve_rates
    newest = -groups["step"].astype(np.int64)
    keys = {
        "newest": newest,
        "oldest": -newest,
        "hardest": rates,
        "easiest": -rates,
        "reward": -groups["reward"],
        "weight": -groups["weight"],
        "longest": -groups["tokens"],
        "shortest": groups["tokens"],
    }
    return np.lexsort((newest, keys[sort]))


def _search_text(
    run: RunFolder, index: Index, places: np.ndarray, start: int, text: str, seconds: float
) -> Found:
    """Read group after group until time is up. Questions are searched through the samples."""
    end = time.monotonic() + seconds
    needle = text.lower()
    raw = json.dumps(text)[1:-1].lower().encode()
    asked = _asked(run, index, needle)
    found = []
    with open(run.rollouts, "rb") as file:
        for number in range(start, len(places)):
            place = int(places[number])
            if asked[index.groups["sample"][place]] or _holds(file, index, place, raw, needle):
                found.append(place)
            if time.monotonic() > end:
                done = number + 1
                following = done if done < len(places) else None
                return Found(places=np.array(found, dtype=int), next=following, read=done - start)
    return Found(places=np.array(found, dtype=int), read=len(places) - start)


def _asked(run: RunFolder, index: Index, needle: str) -> np.ndarray:
    """Whether the needle is in the id, question or answer of each question."""
    found = np.zeros(len(index.sample_ids), dtype=bool)
    for place, name in enumerate(index.sample_ids):
        question = run.questions.get(name)
        parts = (name, question.text, question.answer) if question else (name,)
        found[place] = any(needle in part.lower() for part in parts)
    return found


def _holds(file: Any, index: Index, place: int, raw: bytes, needle: str) -> bool:
    """A quick look at the bytes, then a true look at the texts: names of fields are no texts."""
    for offset, length in index.spans(place):
        file.seek(offset)
        content = file.read(min(length, 2**24))
        # Bytes of another alphabet may be escaped in either case, so only plain ones are quick.
        if needle.isascii() and raw not in content.lower():
            continue
        for line in content.splitlines():
            row = rows.parse_line(line)
            if row is not None and needle in rows.text(row.get("text")).lower():
                return True
    return False


def list_groups(shown: Searchable, wanted: Mapping[str, str]) -> dict[str, Any]:
    """One page of the list, as the page asks for it."""
    found = search(shown, wanted)
    offset = max(rows.whole(_number(wanted.get("offset")), 0), 0)
    limit = min(max(rows.whole(_number(wanted.get("limit")), 25), 1), MAX_LIMIT)
    groups = []
    for place in found.places[offset : offset + limit]:
        group = summary(shown.index, int(place))
        groups.append({**group, "question": _brief(shown.run, group["sample"])})
    answer: dict[str, Any] = {"total": len(found.places), "groups": groups}
    if found.next is not None:
        answer |= {"partial": True, "next": found.next}
        answer["text"] = f"{found.read:,} groups were read in this moment; search on for more."
    return answer


def _brief(run: RunFolder, sample: str) -> dict[str, Any]:
    question = run.questions.get(sample)
    if question is None:
        return {"id": sample, "text": "", "family": "", "rung": None}
    text = rows.shorten(question.text, 400)[0]
    return {"id": sample, "text": text, "family": question.family, "rung": question.rung}


def _number(value: str | None) -> float | None:
    """A number out of an address, None where it is none."""
    try:
        return rows.number(float(value)) if value is not None else None
    except ValueError:
        return None
