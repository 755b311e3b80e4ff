"""The card of a data folder: what is in it, how it was made, and how hard it is, with plots.

README.md            front matter that tells ``datasets`` where the rows are, tables, plots
plots/levels.png     samples by difficulty level
plots/complexity.png mean chain length by level
plots/rungs.png      what each rung is mixed of
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from observe_r1.data.difficulty import NUM_LEVELS
from observe_r1.data.plots import LEVEL_COLOURS, bar_chart, stacked_chart
from observe_r1.data.store import SampleSet, read_samples
from observe_r1.records import read_json, write_atomic

_LEVEL_NAMES = [f"{level / (NUM_LEVELS - 1):g}" for level in range(NUM_LEVELS)]


def write_card(folder: Path) -> Path:
    """Write README.md and the plots from what lies in the folder; returns the card's path."""
    samples = read_samples(folder)
    history = read_json(folder / "ladder.json") if (folder / "ladder.json").exists() else {}
    parts = [
        _front_matter(len(samples)),
        f"# {folder.resolve().name}\n\n{_summary(samples, history)}",
        _history(history),
        _difficulty(samples, folder),
        _contents(samples),
        _columns(),
    ]
    path = folder / "README.md"
    write_atomic(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _front_matter(num_samples: int) -> str:
    size = next(
        name
        for limit, name in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"),
                            (1e6, "100K<n<1M"), (float("inf"), "n>1M"))
        if num_samples < limit
    )  # fmt: skip
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
        "    path: data/train-*.parquet\ntask_categories:\n- visual-question-answering\n"
        f"size_categories:\n- {size}\ntags:\n- reasoning\n- reinforcement-learning\n---"
    )


def _summary(samples: SampleSet, history: Mapping[str, Any]) -> str:
    made_by = history.get("made_by", "observe-r1")
    lines = [f"{len(samples):,} questions, made by `observe-r1 {made_by}`."]
    levels = samples.column("level")
    if len(levels) and not np.isnan(levels).all():
        rates = samples.column("solve_rate")
        lines.append(
            f"The probed model solves {np.nanmean(rates):.1%} of them on average; level 0 is "
            "always solved, level 8 never."
        )
    return " ".join(lines)


def _history(history: Mapping[str, Any]) -> str:
    """How it was made: every count and every setting."""
    parts = []
    tables = [
        ("rows", "Rows of the source"),
        ("outcomes", "Samples by outcome"),
        ("notes", "Notes"),
    ]
    for name, title in tables:
        if history.get(name):
            parts.append(f"## {title}\n\n{_table(('outcome', 'count'), history[name].items())}")
    if history.get("config"):
        told = ("source", "adapter", "against", "probe", "seed", "config")
        settings = {name: history[name] for name in told if history.get(name) is not None}
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        parts.append(f"## Settings\n\n```json\n{text}\n```")
    return "\n\n".join(parts)


def _difficulty(samples: SampleSet, folder: Path) -> str:
    levels = samples.column("level")
    known = ~np.isnan(levels)
    if not known.any():
        return ""
    plots = folder / "plots"
    counts = np.bincount(levels[known].astype(int), minlength=NUM_LEVELS)
    lengths = _mean_by_level(levels, samples.column("complexity"))
    solved = _mean_by_level(levels, samples.column("solve_rate"))
    labels, x_title = _LEVEL_NAMES, "difficulty d = 1 - solve rate"
    chart = bar_chart(labels, counts.tolist(), title="Samples by difficulty", x_title=x_title,
                      colours=LEVEL_COLOURS)  # fmt: skip
    write_atomic(plots / "levels.png", chart)
    chart = bar_chart(labels, lengths, title="Complexity: mean tokens of the probed chains",
                      x_title=x_title, colours=LEVEL_COLOURS)  # fmt: skip
    write_atomic(plots / "complexity.png", chart)
    rows = [
        (level, labels[level], int(counts[level]), _number(solved[level]), _number(lengths[level]))
        for level in range(NUM_LEVELS)
    ]
    head = ("level", "difficulty", "samples", "mean solve rate", "mean complexity")
    return "\n\n".join(
        [
            "## Difficulty",
            "![samples by difficulty](plots/levels.png)",
            _table(head, rows),
            "![complexity by difficulty](plots/complexity.png)",
            _rungs(samples, levels, plots),
        ]
    ).rstrip()


def _rungs(samples: SampleSet, levels: np.ndarray, plots: Path) -> str:
    rungs = samples.column("rung")
    if np.isnan(rungs).all():
        return ""
    names = sorted({int(rung) for rung in rungs[~np.isnan(rungs)]})
    columns = [np.bincount(levels[rungs == rung].astype(int), minlength=NUM_LEVELS).tolist()
               for rung in names]  # fmt: skip
    chart = stacked_chart([str(name) for name in names], columns,
                          title="Samples by rung, in training order", x_title="rung")  # fmt: skip
    write_atomic(plots / "rungs.png", chart)
    return "## Rungs\n\n![what each rung is mixed of](plots/rungs.png)"


def _mean_by_level(levels: np.ndarray, values: np.ndarray) -> list[float | None]:
    found = [values[(levels == level) & ~np.isnan(values)] for level in range(NUM_LEVELS)]
    return [float(part.mean()) if len(part) else None for part in found]


def _contents(samples: SampleSet) -> str:
    sources, families = (Counter(samples.column(name).tolist()) for name in ("source", "family"))
    kinds = Counter(samples.column("kind").tolist())
    parts = ["## Contents"]
    for title, counts in (("source", sources), ("family", families), ("answer kind", kinds)):
        rows = [(name if name is not None else "(none)", n) for name, n in counts.most_common(40)]
        parts.append(_table((title, "samples"), rows))
    return "\n\n".join(parts)


def _columns() -> str:
    return (
        "## Columns\n\n"
        "`prompt` is the user turn with its images in place; `answer` is checked by `kind`; "
        "`complexity` is the mean length of the probed chains in tokens; `position` is the place "
        "in training order. Unknown is null.\n\n"
        "```python\nfrom datasets import load_dataset\n\n"
        'samples = load_dataset("PATH_OF_THIS_FOLDER", split="train")\n```'
    )


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1 else f"{value:.1f}"
