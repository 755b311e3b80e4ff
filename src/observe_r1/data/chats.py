"""Cold-start files of other trainers: chats with images, in the "sharegpt" and the OpenAI style.

    {"id": "7", "system": "Answer …", "images": ["images/a.png"], "conversations": [
        {"from": "human", "value": "<image>How many?"},
        {"from": "gpt", "value": "<think>…</think><answer>2</answer>"}]}
    {"images": ["a.png"], "messages": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "2"}]}]}

A picture may also stand in its part: ``{"type": "image", "image": "a.png"}``, or ``{"type":
"image_url", "image_url": {"url": "data:image/png;base64,…"}}``. Nothing is downloaded.

A preference pair has ``chosen`` and ``rejected`` in the place of the last turn; in the OpenAI style
the turns before it are the ``prompt``, as TRL has it. What we write has one key more,
``observe_r1``, from which reading restores question, gold and provenance exactly; other trainers
pass it over.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from observe_r1.data.checking import checked_gold, checked_text, place_images
from observe_r1.data.importing import ImportConfig, question_key
from observe_r1.data.sources.base import BadRow, final_answer, images_of, optional_text
from observe_r1.data.sources.files import FoundRow, find_rows
from observe_r1.data.sources.pictures import Pictures
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.grading import check_gold, grade
from observe_r1.records import sample_row, write_json
from observe_r1.text import GRAMMARS, format_question, system_prompt
from observe_r1.types import Kind, Sample

logger = logging.getLogger(__name__)

CHATS = "chats.json"
OWN = "observe_r1"
Side = Literal["chosen", "rejected"]
Form = Literal["sharegpt", "messages"]
"""``sharegpt``: ``conversations`` with markers in the text. ``messages``: OpenAI's parts, with the
pictures in a list beside them, as TRL's data sets with images are."""

_ASKING = {"human", "user"}
_ANSWERING = {"gpt", "assistant", "model"}
_INSTRUCTING = {"system", "developer"}
_HELD = ("image", "image_url", "url", "path", "base64")
"""Where an image part may hold its picture."""


def write_chats(
    folder: Path,
    traces: TraceSet,
    pairs: Sequence[tuple[TraceRow, TraceRow]] | None = None,
    *,
    form: Form = "sharegpt",
) -> Path:
    """``chats.json`` and its pictures. With ``pairs``, the better trace first, a row is a
    preference pair."""
    write = {"sharegpt": _sharegpt, "messages": _messages}[form]
    sides = [(row, None) for row in traces.rows] if pairs is None else pairs
    if not sides:
        raise DataError("there is no trace to write. Name a stage that wrote some.")
    rows = [
        write(_ask(chosen, rejected, traces.sample(chosen), folder), chosen, rejected)
        for chosen, rejected in sides
    ]
    write_json(folder / CHATS, rows)
    return folder / CHATS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a chat says before its answer, whatever its form."""

    id: str
    system: str
    question: str
    images: list[str]
    own: dict[str, Any]


def _ask(row: TraceRow, rejected: TraceRow | None, sample: Sample, folder: Path) -> _Asked:
    question = format_question(sample)
    if "<image>" not in question:
        question = "<image>" * len(sample.images) + question
    stored = sample_row(sample, folder)
    own = {key: stored[key] for key in ("sample_id", "question", "answer", "kind", "options")}
    own |= {"family": sample.family, "grammar": row.grammar, "origin": row.origin}
    if rejected is not None:
        own["rejected"] = {"grammar": rejected.grammar, "origin": rejected.origin}
    asked = system_prompt(row.grammar) if row.system_prompt is None else row.system_prompt
    return _Asked(
        id=sample.id, system=asked, question=question, images=stored["images"], own=own
    )  # fmt: skip


def _sharegpt(asked: _Asked, chosen: TraceRow, rejected: TraceRow | None) -> dict[str, Any]:
    turns = [{"from": "human", "value": asked.question}]
    answer = {"from": "gpt", "value": chosen.response}
    if rejected is None:
        said = {"conversations": [*turns, answer]}
    else:
        worse = {"from": "gpt", "value": rejected.response}
        said = {"conversations": turns, "chosen": answer, "rejected": worse}
    return {"id": asked.id, "system": asked.system, "images": asked.images, **said, OWN: asked.own}


def _messages(asked: _Asked, chosen: TraceRow, rejected: TraceRow | None) -> dict[str, Any]:
    turns = [_message("system", asked.system)] if asked.system else []
    turns.append({"role": "user", "content": _parts(asked.question)})
    answer = _message("assistant", chosen.response)
    if rejected is None:
        said = {"messages": [*turns, answer]}
    else:
        worse = _message("assistant", rejected.response)
        said = {"prompt": turns, "chosen": [answer], "rejected": [worse]}
    return {"id": asked.id, "images": asked.images, **said, OWN: asked.own}


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _parts(question: str) -> list[dict[str, str]]:
    """The question's texts and pictures in order.

    Example:
        _parts("<image>How many?") == [{"type": "image"}, {"type": "text", "text": "How many?"}]
    """
    first, *others = question.split("<image>")
    parts = [{"type": "text", "text": first}] if first else []
    for text in others:
        parts.append({"type": "image"})
        parts += [{"type": "text", "text": text}] if text else []
    return parts


def read_chats(path: Path, grammar: str, *, side: Side = "chosen") -> TraceSet:
    """The traces of a file; ``grammar`` is that of rows which do not say theirs.

    Rows that cannot be used are left out, which is said; a file without any other is refused.
    """
    if not path.exists():
        raise DataError(
            f"there is no file {path} to read traces from. Give a .json or .jsonl file of chats "
            "with images, or a folder with traces.jsonl."
        )
    reader = _Reader(path.stem, grammar, side)
    refused: list[BadRow] = []
    rows = []
    for number, found in enumerate(find_rows(path), start=1):
        try:
            rows.append(reader.read(found, number))
        except BadRow as bad:
            refused.append(bad)
    if not rows:
        raise DataError(
            f"{path} holds no chat that could be learnt from: {_reasons(refused) or 'it is empty'}."
            " A row needs one question, one answer, and its pictures."
        )
    if refused:
        everything = len(rows) + len(refused)
        left_out = f"{len(refused)} of {everything} rows are left out"
        logger.warning("%s: %s: %s", path, left_out, _reasons(refused))
    return TraceSet(tuple(rows), reader.samples)


def _reasons(refused: Sequence[BadRow]) -> str:
    """Each reason with its first row's detail, and how many rows it has cost.

    Example:
        "image missing: a.png (3), answer empty (1)"
    """
    first = {bad.reason: bad for bad in reversed(refused)}
    counts = Counter(bad.reason for bad in refused)
    return ", ".join(f"{first[reason]} ({count})" for reason, count in counts.most_common())


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

    def read(self, found: FoundRow, number: int) -> TraceRow:
        if isinstance(found.values, BadRow):
            raise found.values
        row = found.values
        chat, own = _read_chat(row, self.side), _read_own(row, self.side)
        images = [
            self.pictures.load(reference, found.folders) for reference in _references(row, chat)
        ]
        if own:
            return self._own_trace(chat, own, images)
        sample = self._keep(self._foreign_sample(row, chat, images, number))
        asks_as_usual = chat.system == system_prompt(self.grammar)
        return TraceRow(
            sample_id=sample.id,
            response=chat.response,
            grammar=self.grammar,
            system_prompt=None if asks_as_usual else chat.system,
            origin=self.name,
            correct=None if optional_text(row, "answer") is None else _is_correct(chat, sample),
        )

    def _own_trace(self, chat: "_Chat", own: "_Own", images: Sequence[bytes]) -> TraceRow:
        place_images(own.question, own.options, len(images))
        sample = Sample(
            id=own.sample_id, question=own.question, answer=own.answer, kind=own.kind,
            options=own.options, images=tuple(images), source=self.name, family=own.family,
        )  # fmt: skip
        # Ours are told apart by their ids too: equal questions may have other options or golds.
        sample = self._keep(sample, own.sample_id)
        asked = chat.system or ""  # a form without a place for an empty prompt says none
        return TraceRow(
            sample_id=sample.id,
            response=chat.response,
            grammar=own.grammar,
            system_prompt=None if asked == system_prompt(own.grammar) else asked,
            origin=own.origin,
            correct=_is_correct(chat, sample),
        )

    def _foreign_sample(
        self, row: Mapping[str, Any], chat: "_Chat", images: Sequence[bytes], number: int
    ) -> Sample:
        text = checked_text(chat.question, "reject").strip()
        question, _, order = place_images(text, (), len(images))
        answer, kind = _gold(optional_text(row, "answer") or final_answer(chat.response))
        return Sample(
            # By its place in the file: both sides of a pair must come to the same id.
            id=f"{self.name}-{optional_text(row, 'id') or number}",
            question=question, answer=answer, kind=kind, images=tuple(images[i] for i in order),
            source=self.name, family=optional_text(row, "category", "subject"),
        )  # fmt: skip

    def _keep(self, sample: Sample, known_as: str = "") -> Sample:
        key = question_key(sample) + known_as.encode()
        if key in self._ids:
            return self.samples[self._ids[key]]
        unique, number = sample.id, 1
        while unique in self.samples:
            number += 1
            unique = f"{sample.id}-{number}"
        sample = replace(sample, id=unique)
        self._ids[key], self.samples[unique] = unique, sample
        return sample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """What we have written of a trace beside its chat."""

    sample_id: str
    question: str
    answer: str
    kind: Kind
    options: tuple[str, ...]
    family: str | None
    grammar: str
    origin: str


_OWN_TEXTS = ("sample_id", "question", "answer", "kind", "grammar", "origin")


def _read_own(row: Mapping[str, Any], side: Side) -> _Own | None:
    """None where a row is not ours; BadRow where it was, and somebody has changed it."""
    own = row.get(OWN)
    if own is None:
        return None
    if not isinstance(own, Mapping):
        raise BadRow("row cannot be read", f"{OWN} is no object")
    if side == "rejected" and isinstance(own.get("rejected"), Mapping):
        own = {**own, **own["rejected"]}
    wrong = [name for name in _OWN_TEXTS if not _is_usable(name, own.get(name))]
    options = own.get("options")
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        wrong.append("options")
    if wrong:
        raise BadRow("row cannot be read", f"{OWN} has no usable {', '.join(wrong)}")
    texts: dict[str, Any] = {name: own[name] for name in _OWN_TEXTS}
    return _Own(**texts, options=tuple(own["options"]), family=optional_text(own, "family"))


def _is_usable(name: str, value: Any) -> bool:
    allowed = {"kind": get_args(Kind), "grammar": tuple(GRAMMARS)}
    return isinstance(value, str) and value in allowed.get(name, (value,))


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one side says.

    Example:
        _Turn("user", "<image>How many?", ("a.png",))
    """

    speaker: str
    text: str
    pictures: tuple[Any, ...] = ()
    """Of each image part, where its picture is; None where the row's own list has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chat:
    """One question and its answer."""

    system: str | None
    question: str
    pictures: tuple[Any, ...]
    response: str


def _read_chat(row: Mapping[str, Any], side: Side) -> _Chat:
    turns = [_read_turn(turn) for turn in _turns_of(row, side)]
    if not turns:
        raise BadRow("field missing", "neither conversations nor messages")
    system = [turn.text for turn in turns if turn.speaker in _INSTRUCTING]
    asked = [turn for turn in turns if turn.speaker in _ASKING]
    answered = [turn.text for turn in turns if turn.speaker in _ANSWERING]
    if len(asked) != 1 or len(answered) != 1:
        raise BadRow("not one question and one answer", f"{len(asked)} and {len(answered)} turns")
    if not answered[0].strip():
        raise BadRow("answer empty")
    if any(turn.pictures for turn in turns if turn is not asked[0]):
        raise BadRow("row cannot be read", "a picture outside the question")
    return _Chat(
        system=system[0] if system else optional_text(row, "system"),
        question=asked[0].text,
        pictures=asked[0].pictures,
        response=answered[0],
    )


def is_chat(row: Mapping[str, Any], side: Side) -> bool:
    """Whether a row has one question and its answer; its pictures are not looked at."""
    try:
        _read_chat(row, side)
    except BadRow:
        return False
    return True


def _turns_of(row: Mapping[str, Any], side: Side) -> Iterator[Any]:
    """The turns that all share, then those of one side of a preference pair."""
    shared = row.get("conversations") or row.get("messages") or row.get("prompt")
    if isinstance(shared, list):
        yield from shared
    last = row.get(side)
    if isinstance(last, Mapping):
        yield last
    elif isinstance(last, list):
        yield from last


def _read_turn(turn: Any) -> _Turn:
    if not isinstance(turn, Mapping):
        raise BadRow("row cannot be read", "a turn that is no object")
    said = turn.get("value") if "value" in turn else turn.get("content")
    speaker = str(turn.get("from") or turn.get("role"))
    if isinstance(said, str):
        return _Turn(speaker, said)
    if not isinstance(said, list):
        raise BadRow("row cannot be read", "a turn that is no text")
    parts = [_read_part(part) for part in said]
    pictures = tuple(picture for _, found in parts for picture in found)
    return _Turn(speaker, "".join(text for text, _ in parts), pictures)


def _read_part(part: Any) -> tuple[str, tuple[Any, ...]]:
    """Its text; of a picture the marker that stands for it, and where it is."""
    if isinstance(part, str):
        return part, ()
    if isinstance(part, Mapping):
        kind = str(part.get("type") or "")
        held = next((part[key] for key in _HELD if part.get(key)), None)
        if "image" in kind or (not kind and held is not None):
            return "<image>", (held,)
        if isinstance(part.get("text"), str):
            return part["text"], ()
    raise BadRow("row cannot be read", "a part that is neither a text nor a picture")


def _references(row: Mapping[str, Any], chat: _Chat) -> tuple[Any, ...]:
    """Where the pictures are, in order: in their parts, or in the row's list for parts without."""
    listed = images_of(row, "images", "image")
    if all(picture is None for picture in chat.pictures):
        return listed
    empty = sum(picture is None for picture in chat.pictures)
    if empty != len(listed):
        detail = f"{empty} image parts without a picture, and {len(listed)} pictures beside them"
        raise BadRow("image markers do not match", detail)
    rest = iter(listed)
    return tuple(next(rest) if picture is None else picture for picture in chat.pictures)


def _gold(answer: str) -> tuple[str, Kind]:
    """The gold as it can be checked; where it cannot, as text: a trace is learnt all the same."""
    try:
        return checked_gold(answer, (), None, ImportConfig().max_answer_words)
    except BadRow:
        return answer, "text"


def _is_correct(chat: _Chat, sample: Sample) -> bool | None:
    """None where nothing can be checked against the gold."""
    options = sample.options or None
    try:
        check_gold(sample.answer, sample.kind, options)
    except DataError:
        return None
    return grade(
        chat.response, sample.answer, kind=sample.kind, options=options, extract="plain"
    ).correct
