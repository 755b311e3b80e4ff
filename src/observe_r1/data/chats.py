"""Cold-start files of other trainers: chats with images, in the "sharegpt" and the OpenAI style.

    {"id": "7", "system": "Answer …", "images": ["images/a.png"], "conversations": [
        {"from": "human", "value": "<image>How many?"},
        {"from": "gpt", "value": "<think>…</think><answer>2</answer>"}]}
    {"images": ["a.png"], "messages": [{"role": "user", "content": "<image>How many?"},
                                       {"role": "assistant", "content": "2"}]}

A preference pair has ``chosen`` and ``rejected`` in the place of the last turn. What we write has
one key more, ``observe_r1``, from which reading restores question, gold and provenance exactly;
other trainers pass it over.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from observe_r1.data.checking import checked_gold, checked_text, place_images
from observe_r1.data.importing import ImportConfig, question_key
from observe_r1.data.sources.base import BadRow, final_answer, images_of, optional_text
from observe_r1.data.sources.files import FoundRow, find_rows
from observe_r1.data.sources.pictures import Pictures
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.grading import grade
from observe_r1.records import sample_row, write_json
from observe_r1.text import format_question, system_prompt
from observe_r1.types import Kind, Sample

CHATS = "chats.json"
OWN = "observe_r1"
Side = Literal["chosen", "rejected"]

_ASKING = {"human", "user"}
_ANSWERING = {"gpt", "assistant", "model"}


def write_chats(folder: Path, traces: TraceSet, rejected: TraceSet | None = None) -> Path:
    """``chats.json`` and its pictures; with ``rejected``, a preference pair a row."""
    if rejected is None:
        rows = [_chat(row, traces.sample(row), folder) for row in traces.rows]
    else:
        worse = {row.sample_id: row for row in reversed(rejected.rows)}
        both = [row for row in traces.rows if row.sample_id in worse]
        rows = [_pair(row, worse[row.sample_id], traces.sample(row), folder) for row in both]
    if not rows:
        raise DataError("there is no trace to write. Name a stage that wrote some.")
    write_json(folder / CHATS, rows)
    return folder / CHATS


def _chat(row: TraceRow, sample: Sample, folder: Path) -> dict[str, Any]:
    chat = _question(row, sample, folder)
    chat["conversations"].append({"from": "gpt", "value": row.response})
    return chat


def _pair(chosen: TraceRow, rejected: TraceRow, sample: Sample, folder: Path) -> dict[str, Any]:
    return {
        **_question(chosen, sample, folder),
        "chosen": {"from": "gpt", "value": chosen.response},
        "rejected": {"from": "gpt", "value": rejected.response},
    }


def _question(row: TraceRow, sample: Sample, folder: Path) -> dict[str, Any]:
    question = format_question(sample)
    if "<image>" not in question:
        question = "<image>" * len(sample.images) + question
    stored = sample_row(sample, folder)
    asked = system_prompt(row.grammar) if row.system_prompt is None else row.system_prompt
    own = {key: stored[key] for key in ("sample_id", "question", "answer", "kind", "options")}
    own |= {"family": sample.family, "grammar": row.grammar, "origin": row.origin}
    return {
        "id": sample.id,
        "system": asked,
        "images": stored["images"],
        "conversations": [{"from": "human", "value": question}],
        OWN: own,
    }


def read_chats(path: Path, grammar: str, *, side: Side = "chosen") -> TraceSet:
    """The traces of a file; ``grammar`` is that of rows which do not say theirs.

    Rows that cannot be used are left out and counted; a file without any other is refused.
    """
    if not path.exists():
        raise DataError(
            f"there is no file {path} to read traces from. Give a .json or .jsonl file of chats "
            "with images, or a folder with traces.jsonl."
        )
    reader = _Reader(path.stem, grammar, side)
    refused: Counter[str] = Counter()
    rows = []
    for found in find_rows(path):
        try:
            rows.append(reader.read(found))
        except BadRow as bad:
            refused[str(bad.reason)] += 1
    if not rows:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in refused.most_common())
        raise DataError(
            f"{path} holds no chat that could be learnt from: {reasons or 'it is empty'}. A row "
            "needs one question, one answer, and its pictures."
        )
    return TraceSet(tuple(rows), reader.samples)


class _Reader:
    """Rows to traces; equal questions become one sample."""

    def __init__(self, name: str, grammar: str, side: Side) -> None:
        self.name, self.grammar = name, grammar
        self.side: Side = side
        limits = ImportConfig()
        self.pictures = Pictures(
            max_pixels=limits.max_image_pixels, max_bytes=limits.max_image_bytes
        )
        self.samples: dict[str, Sample] = {}
        self._ids: dict[bytes, str] = {}

    def read(self, found: FoundRow) -> TraceRow:
        if isinstance(found.values, BadRow):
            raise found.values
        row = found.values
        system, question, response = _turns(row, self.side)
        own = row.get(OWN)
        sample = self._keep(self._sample(row, question, response, found.folders, own))
        grammar = str(own["grammar"]) if own else self.grammar
        asked = system if system != system_prompt(grammar) else None
        gold = own is not None or optional_text(row, "answer") is not None
        return TraceRow(
            sample_id=sample.id,
            response=response,
            grammar=grammar,
            system_prompt=asked,
            origin=str(own["origin"]) if own else self.name,
            correct=_is_correct(response, sample) if gold else None,
        )

    def _sample(
        self, row: Mapping[str, Any], question: str, response: str, folders: Sequence[Path],
        own: Mapping[str, Any] | None,
    ) -> Sample:  # fmt: skip
        references = images_of(row, "images", "image")
        images = [self.pictures.load(reference, folders) for reference in references]
        if own:
            return Sample(
                id=str(own["sample_id"]), question=own["question"], answer=own["answer"],
                kind=own["kind"], options=tuple(own["options"]), images=tuple(images),
                source=self.name, family=own.get("family"),
            )  # fmt: skip
        text, _, order = place_images(checked_text(question, "reject").strip(), (), len(images))
        answer, kind = _gold(optional_text(row, "answer") or final_answer(response))
        return Sample(
            id=f"{self.name}-{optional_text(row, 'id') or len(self.samples) + 1}", question=text,
            answer=answer, kind=kind, images=tuple(images[i] for i in order), source=self.name,
            family=optional_text(row, "category", "subject"),
        )  # fmt: skip

    def _keep(self, sample: Sample) -> Sample:
        key = question_key(sample)
        if key in self._ids:
            return self.samples[self._ids[key]]
        unique, number = sample.id, 1
        while unique in self.samples:
            number += 1
            unique = f"{sample.id}-{number}"
        sample = replace(sample, id=unique)
        self._ids[key], self.samples[unique] = unique, sample
        return sample


def _turns(row: Mapping[str, Any], side: Side) -> tuple[str | None, str, str]:
    """System prompt, question and answer of a chat with one question."""
    turns = row.get("conversations") or row.get("messages")
    if not isinstance(turns, list) or not turns:
        raise BadRow("field missing", "neither conversations nor messages")
    said = [_said(turn) for turn in turns]
    if isinstance(row.get(side), Mapping):
        said.append(_said(row[side]))
    system = [text for speaker, text in said if speaker == "system"]
    asked = [text for speaker, text in said if speaker in _ASKING]
    answered = [text for speaker, text in said if speaker in _ANSWERING]
    if len(asked) != 1 or len(answered) != 1:
        raise BadRow("not one question and one answer", f"{len(asked)} and {len(answered)} turns")
    if not answered[0].strip():
        raise BadRow("answer empty")
    return (system[0] if system else optional_text(row, "system")), asked[0], answered[0]


def _said(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise BadRow("row cannot be read", "a turn that is no object")
    text = turn.get("value") if "value" in turn else turn.get("content")
    if isinstance(text, list):  # OpenAI's parts: pictures stand where their parts are
        text = "".join(_part(part) for part in text)
    if not isinstance(text, str):
        raise BadRow("row cannot be read", "a turn that is no text")
    return str(turn.get("from") or turn.get("role")), text


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text":
        return str(part.get("text", ""))
    return "<image>" if isinstance(part, Mapping) and "image" in str(part.get("type")) else ""


def _gold(answer: str) -> tuple[str, Kind]:
    """The gold as it can be checked; where it cannot, as text: a trace is learnt all the same."""
    try:
        return checked_gold(answer, (), None, ImportConfig().max_answer_words)
    except BadRow:
        return answer, "text"


def _is_correct(response: str, sample: Sample) -> bool:
    options = sample.options or None
    return grade(
        response, sample.answer, kind=sample.kind, options=options, extract="plain"
    ).correct
