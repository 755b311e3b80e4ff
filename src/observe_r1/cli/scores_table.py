"""Scores as a table for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from observe_r1.cli.console import print_table, say

if TYPE_CHECKING:
    from observe_r1.eval.intervals import Share
    from observe_r1.eval.scores import Scores


PARTS = (
    ("level", "per_level"),
    ("puzzle level", "per_puzzle_level"),
    ("rung", "per_rung"),
    ("", "per_family"),
)


def print_scores(scores: "Sequence[Scores]") -> None:
    """One column an evaluation: the numbers of all, then per level and family."""
    print_table("", ["", *(s.name for s in scores)], score_rows(scores))
    for note in notes(scores):
        say(note)


def score_rows(scores: "Sequence[Scores]") -> list[list[str]]:
    rows = [
        ["questions", *(f"{s.num_questions:,}" for s in scores)],
        ["answers a question", *(str(s.samples_per_question) for s in scores)],
        ["accuracy (strict)", *(percent(s.accuracy) for s in scores)],
        ["accuracy (lenient)", *(percent(s.accuracy_lenient) for s in scores)],
        ["accuracy of well-formed", *(percent(s.accuracy_well_formed) for s in scores)],
        ["format valid", *(percent(s.format_valid) for s in scores)],
        ["truncated", *(percent(s.truncated) for s in scores)],
        ["mean tokens", *(number(s.mean_tokens) for s in scores)],
        ["  of right answers", *(number(s.mean_tokens_correct) for s in scores)],
        ["  of wrong answers", *(number(s.mean_tokens_wrong) for s in scores)],
    ]
    rows += [
        [f"pass@{k}", *(_share(s.pass_at_k.get(k)) for s in scores)]
        for k in sorted({k for s in scores for k in s.pass_at_k if k != "1"}, key=int)
    ]
    if any(s.majority_at_k is not None for s in scores):
        rows.append(["majority", *(_share(s.majority_at_k) for s in scores)])
    for title, parts in PARTS:
        rows += _part_rows(title, parts, scores)
    return rows


def _part_rows(title: str, parts: str, scores: "Sequence[Scores]") -> list[list[str]]:
    names = {name: None for s in scores for name in getattr(s, parts)}
    return [
        [f"{title} {name}".strip(), *(percent(getattr(s, parts).get(name)) for s in scores)]
        for name in sorted(names, key=lambda name: (len(name) if name.isdigit() else 0, name))
    ]


def percent(share: "Share | None") -> str:
    """``38.2 % [35.1, 41.4]``; a dash where nothing was counted."""
    if share is None or share.value is None or share.low is None or share.high is None:
        return "-"
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def notes(scores: "Sequence[Scores]") -> list[str]:
    """What a reader must know to read the numbers."""
    found = []
    for s in scores:
        if s.num_missing:
            found.append(
                f"{s.name}: {s.num_missing} questions have no answer and are in no average."
            )
        if s.num_questions and s.format_valid.value == 0.0:
            found.append(
                f"{s.name}: no answer followed the asked-for tags, so strict accuracy says little. "
                "Look at the lenient one, or ask in the model's own way (--extract boxed, "
                "--system-prompt '')."
            )
    return found
