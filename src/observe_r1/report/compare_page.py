"""The comparison as one self-contained page, and as a table for the terminal."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from observe_r1.records import write_atomic
from observe_r1.report import rows
from observe_r1.report.compare import Compared, Comparison
from observe_r1.report.curves import MAX_POINTS, build_curves
from observe_r1.report.groups import Question
from observe_r1.report.images import Album
from observe_r1.report.pages import render
from observe_r1.report.payload import question_values
from observe_r1.report.terminal import safe


def write_comparison(comparison: Comparison, out: Path) -> Path:
    payload = {
        "name": "Runs compared",
        "generated": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "runs": [_run(run) for run in comparison.runs],
        "differences": [difference.to_dict() for difference in comparison.differences],
        "problems": list(comparison.problems),
        "curves": overlay_curves(comparison.runs),
        "averaged": any(len(run.folder.metrics.steps) > MAX_POINTS for run in comparison.runs),
    }
    page = render("Runs compared", "compare", payload, _pairs(comparison))
    write_atomic(out, page.encode("utf-8", "replace"))
    return out


def overlay_curves(runs: tuple[Compared, ...]) -> list[dict[str, Any]]:
    """One panel a metric, one line a run, over the union of their steps."""
    panels: dict[str, dict[str, Any]] = {}
    for run in runs:
        for built in build_curves(run.folder.metrics):
            for series in built["series"]:
                panel = panels.setdefault(series["name"], {**built, "lines": []})
                panel["lines"].append(
                    (run.label, dict(zip(built["steps"], series["values"], strict=True)))
                )
    return [_overlay(name, panel) for name, panel in panels.items()]


def _overlay(name: str, panel: dict[str, Any]) -> dict[str, Any]:
    steps = sorted({step for _, values in panel["lines"] for step in values})
    return {
        "id": f"metric-{name}",
        "title": name,
        "unit": panel["unit"],
        "help": "",
        "steps": steps,
        "series": [
            {"name": label, "values": [values.get(step) for step in steps]}
            for label, values in panel["lines"]
        ],
        "other": panel.get("other", False),
    }


def _run(run: Compared) -> dict[str, Any]:
    config = run.folder.config
    named = {key: rows.text(config.get(key)) or "–" for key in ("recipe", "model", "data")}
    steps = run.folder.last_step
    return {"letter": run.letter, "name": run.folder.name, "steps": steps, **named}


def _pairs(comparison: Comparison) -> dict[str, Any]:
    albums = [Album(run.folder.path, 320, 4_000_000) for run in comparison.runs]
    pictures: dict[str, str] = {}
    pairs = []
    for pair in comparison.pairs:
        question, album = _find(comparison, pair["sample"], albums)
        pairs.append({**pair, "question": question_values(pair["sample"], question, album)})
        pictures |= album.pictures
    return {"pairs": pairs, "pictures": pictures, "groups": [], "questions": {}, "note": ""}


def _find(
    comparison: Comparison, sample: str, albums: list[Album]
) -> tuple[Question | None, Album]:
    """The question as the first run that holds it has it."""
    for run, album in zip(comparison.runs, albums, strict=True):
        if sample in run.folder.questions:
            return run.folder.questions[sample], album
    return None, albums[0]


COLUMNS = ("measured on", "run", "asked", "accuracy, %", "difference, 95 %", "won, lost")


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The differences as text, under ``COLUMNS``; one whose interval leaves out zero has a star.

    Narrow enough for 80 columns: runs are named by their letters.
    """
    return [
        (
            safe(row.on),
            row.run,
            str(row.questions),
            f"{100 * row.first:.1f} → {100 * row.second:.1f}",
            f"{100 * row.value:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
            + ("*" if row.clear else " "),
            f"{row.won}, {row.lost}",
        )
        for row in comparison.differences
    ]
