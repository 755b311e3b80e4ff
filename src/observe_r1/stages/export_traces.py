"""``observe-r1 export traces``: the traces of a stage as a file of chats with images."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.data.chats import Form, write_chats
from observe_r1.data.traces import TraceRow, TraceSet, read_traces
from observe_r1.errors import DataError, RunError
from observe_r1.records import read_json
from observe_r1.stages.handover import traces_folder

PROBLEMS = {
    "same_text": "both sides are the same text",
    "other_prompt": "the sides answer different prompts (grammar or system prompt)",
    "cut_off": "the response was cut off, which another trainer would teach as its end",
}
"""Why a pair, or a trace, is left out."""


def export_chats(
    traces: Path, out: Path, *, rejected: Path | None = None, form: Form = "sharegpt"
) -> dict[str, Any]:
    """Write ``chats.json`` and its pictures to ``out``; with ``rejected``, preference pairs."""
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RunError(f"{out} is not empty, and nothing is overwritten. Choose another --out.")
    better = read_traces(traces_folder(traces))
    if rejected is None:
        whole = better.with_rows(row for row in better.rows if not row.truncated)
        cut_off = len(better) - len(whole)
        if cut_off and not len(whole):
            raise DataError(f"nothing is left to write: in all {cut_off} {PROBLEMS['cut_off']}.")
        better, pairs, left_out = whole, None, {"cut_off": cut_off} if cut_off else {}
    else:
        found = pair_up(better, read_traces(traces_folder(rejected)))
        pairs, left_out = found.pairs, found.left_out
    chats = write_chats(out, better, pairs, form=form)
    return {"chats": str(chats), "rows": len(read_json(chats)), "left_out": left_out}


@dataclass(frozen=True, slots=True)
class Paired:
    """Preference pairs, the better trace first, and why others are left out.

    Example:
        Paired(((right, wrong),), {"same_text": 3})
    """

    pairs: tuple[tuple[TraceRow, TraceRow], ...]
    left_out: dict[str, int]


def pair_up(chosen: TraceSet, rejected: TraceSet) -> Paired:
    """First with first, second with second, of every question that has both; without the pairs
    that a preference stage would not learn from. None left is refused."""
    both = list(_of_one_question(chosen, rejected))
    if not both:
        raise DataError(
            "no question has traces on both sides, so there is no pair to write. Give a --rejected "
            "whose traces answer the same questions."
        )
    problems = [_problem(one, other) for one, other in both]
    left_out = Counter(problem for problem in problems if problem)
    pairs = tuple(pair for pair, problem in zip(both, problems, strict=True) if not problem)
    if not pairs:
        raise DataError(
            f"none of the {len(both)} pairs prefers anything: {in_words(left_out)}. Filter, sample "
            "or corrupt one side, and give both the same grammar and system prompt."
        )
    return Paired(pairs, dict(left_out))


def in_words(left_out: dict[str, int]) -> str:
    """
    Example:
        in_words({"same_text": 3}) == "in 3 both sides are the same text"
    """
    return ", ".join(f"in {count} {PROBLEMS[why]}" for why, count in left_out.items())


def _of_one_question(chosen: TraceSet, rejected: TraceSet) -> Iterator[tuple[TraceRow, TraceRow]]:
    worse: dict[str, list[TraceRow]] = {}
    for row in reversed(rejected.rows):
        worse.setdefault(row.sample_id, []).append(row)
    for row in chosen.rows:
        if left := worse.get(row.sample_id):
            yield row, left.pop()


def _problem(chosen: TraceRow, rejected: TraceRow) -> str | None:
    """As a preference stage has it, which refuses the one and leaves out the other."""
    from observe_r1.stages.examples import prompt_of  # PyTorch takes seconds to import

    if prompt_of(chosen) != prompt_of(rejected):
        return "other_prompt"
    return "same_text" if chosen.response == rejected.response else None
