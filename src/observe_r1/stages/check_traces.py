"""Whether traces from outside the recipe can be read: a first row says what all of them are."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from observe_r1.config.order import sources_of
from observe_r1.config.stages import DPOStage, Stage, TeachStage
from observe_r1.config.teach import FileTeacher
from observe_r1.config.traces import LAST, TraceSource
from observe_r1.data.chats import OWN, Side, is_chat
from observe_r1.data.sources.base import BadRow, optional_text
from observe_r1.data.sources.files import find_rows
from observe_r1.data.trace_filters import Filter, Gold
from observe_r1.data.traces import SAMPLES, TRACES
from observe_r1.errors import DataError
from observe_r1.records import read_rows
from observe_r1.stages.handover import traces_folder, writes_traces

NEEDED = ("sample_id", "response", "grammar")
"""Without these a row is no trace."""


def check_traces(stage: Stage, earlier: Sequence[Stage]) -> None:
    """Every trace that a stage reads from a folder or file, and what its filters want to know."""
    for source in sources_of(stage):
        rejected = isinstance(stage, DPOStage) and source is stage.rejected
        _check_source(stage, source, earlier, "rejected" if rejected else "chosen")
    if isinstance(stage, TeachStage) and isinstance(stage.teacher, FileTeacher):
        first = _first_row(stage.name, stage.teacher.path, "chosen")
        _check_grades(stage.name, stage.teacher.path, first, stage.filters)


def _check_source(stage: Stage, source: TraceSource, earlier: Sequence[Stage], side: Side) -> None:
    writer = _writer(source.source, earlier)
    path = source.source
    if writer is not None:
        if not isinstance(writer, TeachStage) or not isinstance(writer.teacher, FileTeacher):
            return  # it grades what it writes
        path, side = writer.teacher.path, "chosen"
    first = _first_row(stage.name, path, side)
    _check_grades(stage.name, path, first, source.filters)


def _writer(source: str, earlier: Sequence[Stage]) -> Stage | None:
    """The stage whose traces are meant; None for a folder or file."""
    writers = [stage for stage in earlier if writes_traces(stage)]
    return next((s for s in reversed(writers) if source in (LAST, s.name)), None)


def _first_row(stage: str, source: str, side: Side) -> Mapping[str, Any]:
    """The first trace of a folder, or the first chat of a file."""
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(
            f"stage '{stage}' reads traces of {source}, which is not there. Name an earlier stage, "
            "a folder with traces, or a file of chats with images."
        )
    return _first_trace(stage, path) if path.is_dir() else _first_chat(stage, path, side)


def _first_trace(stage: str, path: Path) -> Mapping[str, Any]:
    folder = traces_folder(path)
    first = next(read_rows(folder / TRACES), None) if (folder / TRACES).exists() else None
    if first is None:
        what = "it is empty" if (folder / TRACES).exists() else f"there is no {TRACES} in it"
        raise DataError(
            f"stage '{stage}' reads traces of {path}, which holds none: {what}. Name the folder of "
            "a teach or sample stage, or a file of chats with images."
        )
    missing = [key for key in NEEDED if not isinstance(first, dict) or key not in first]
    if missing:
        raise DataError(
            f"stage '{stage}' reads traces of {path}, but the first row of {TRACES} is no trace: "
            f"it has no {', '.join(missing)}. Let a teach or sample stage write it."
        )
    if not (folder / SAMPLES).exists():
        raise DataError(
            f"stage '{stage}' reads traces of {path}, but the questions are missing that they "
            f"answer: there is no {SAMPLES} in it. Copy the folder again, or make it anew."
        )
    return first


def _first_chat(stage: str, path: Path, side: Side) -> Mapping[str, Any]:
    try:
        found = (row.values for row in find_rows(path))
        rows = (row for row in found if not isinstance(row, BadRow))
        first = next((row for row in rows if is_chat(row, side)), None)
    except DataError as error:
        raise DataError(f"stage '{stage}' reads traces of {path}: {error}") from None
    if first is None:
        raise DataError(
            f"stage '{stage}' reads traces of {path}, which holds no chat with a {side} answer. A "
            "row needs conversations or messages with a question and its answer, and its pictures; "
            f"of a preference pair the answer stands under '{side}'."
        )
    return first


def _check_grades(
    stage: str, path: str, first: Mapping[str, Any], filters: Iterable[Filter]
) -> None:
    """A chat is graded where its row says what is right: what we wrote does, others may."""
    wanted = any(isinstance(rule, Gold) for rule in filters)
    known = first.get("correct") is not None or OWN in first or optional_text(first, "answer")
    if wanted and not known:
        raise DataError(
            f"stage '{stage}' filters the traces of {path} by 'gold', and they are not graded: the "
            "first has no gold answer beside it. Add an 'answer' to every chat, or leave the "
            "filter out."
        )
