"""What ran: recipe and its differences from the paper, data, model, machine, cost."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from observe_r1.errors import ObserveError
from observe_r1.recipes import load_recipe
from observe_r1.report import rows
from observe_r1.report.index import Index
from observe_r1.report.run import RunFolder, last_written, stage_folders, started

MAX_VALUE = 300
"""Characters of one setting; recipes can carry whole prompts."""
EMPTY = ("", "false", "null")
MACHINE_WORDS = {"cpu_cores": "CPU cores", "gpus": "GPUs"}


def build_overview(run: RunFolder, index: Index) -> dict[str, Any]:
    """Facts in titled lists, the deviations in sentences, and every setting of the run."""
    blocks = [
        ("Recipe", _recipe(run)),
        ("Data and model", _data(run, index)),
        ("Machine", _machine(run)),
        ("Cost", _cost(run, index)),
    ]
    return {
        "blocks": [{"title": title, "facts": facts} for title, facts in blocks if facts],
        "paper": _paper(run),
        "versions": _versions(run),
        "deviations": rows.texts(run.config.get("deviations")),
        "settings": [
            {
                "name": rows.text(stage.get("name") or f"stage {place + 1}"),
                "values": _settings(stage),
            }
            for place, stage in enumerate(run.stages)
        ],
    }


def list_stages(run: RunFolder) -> list[dict[str, Any]]:
    """The stages that have begun, where there are several: how far they are, which one is shown."""
    if run.home == run.path:
        return []
    return [
        {
            "name": rows.text(path.name),
            "steps": _last_step(path / "metrics.jsonl"),
            "done": (path / "done.json").exists(),
            "shown": path.resolve() == run.path.resolve(),
        }
        for path in stage_folders(run.home)
    ]


def _last_step(path: Path) -> int:
    if not path.is_file():
        return 0
    return max((rows.whole(row.get("step"), 0) for _, _, row in rows.Lines(path)), default=0)


def _recipe(run: RunFolder) -> list[list[str]]:
    stage = run.stage
    return _facts(
        ("Recipe", run.config.get("recipe")),
        ("Preset", run.config.get("preset")),
        ("Stages", ", ".join(rows.text(s.get("name")) for s in run.stages)),
        ("Questions a step", stage.get("prompts_per_step")),
        ("Completions a question", stage.get("group_size")),
        ("Steps planned", run.planned_steps),
        ("Curriculum", rows.mapping(stage.get("curriculum")).get("type")),
        ("Changed by hand", ", ".join(rows.texts(run.config.get("overrides")))),
    )


def _data(run: RunFolder, index: Index) -> list[list[str]]:
    families = sorted({question.family for question in run.questions.values() if question.family})
    return _facts(
        ("Model", run.config.get("model") or run.config.get("evaluates")),
        ("Data", run.config.get("data")),
        ("Questions", f"{len(run.questions):,}" if run.questions else None),
        ("Families", ", ".join(families[:12]) + (", …" if len(families) > 12 else "")),
        ("Completions recorded", f"{index.num_rollouts:,}" if index.num_rollouts else None),
        ("Groups recorded", f"{index.num_groups:,}" if index.num_groups else None),
    )


def _machine(run: RunFolder) -> list[list[str]]:
    found = _flat(_without_packages(run))
    known = {name: value for name, value in found if name and value not in EMPTY}
    ordered = {"started": "", "finished": ""} | known
    return [
        [MACHINE_WORDS.get(name, name), _moment(value)] for name, value in ordered.items() if value
    ][:24]


def _without_packages(run: RunFolder) -> dict[str, Any]:
    apart = ("format", "packages")
    return {name: value for name, value in run.environment.items() if name not in apart}


def _versions(run: RunFolder) -> list[list[str]]:
    packages = _flat(rows.mapping(run.environment.get("packages")))
    return [[name, value] for name, value in packages if name and value not in EMPTY][:40]


def _moment(value: str) -> str:
    """A moment in UTC as people write it; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?\+00:00", value)
    return f"{found[1]} {found[2]} UTC" if found else value


def _cost(run: RunFolder, index: Index) -> list[list[str]]:
    begun = started(run)
    wall = last_written(run.path) - begun.timestamp() if begun else None
    sampled, computed = _sampled(index), _total(run, "tokens/computed")
    memory = {
        name.removeprefix("memory/"): max(v for _, v in run.metrics.values(name))
        for name in run.metrics.columns
        if name.startswith("memory/") and run.metrics.values(name)
    }
    return _facts(
        ("Steps", run.last_step),
        ("Time in steps", _span(_total(run, "timing/step"))),
        ("From start to last row", _span(wall) if wall and 0 < wall < 3e7 else None),
        ("Tokens sampled", f"{sampled:,.0f}" if sampled else None),
        ("Tokens computed", f"{computed:,.0f}" if computed else None),
        *((f"Memory ({name})", f"{value / 1024:.2f} GiB") for name, value in memory.items()),
    )


def _sampled(index: Index) -> float:
    return float((index.groups["tokens"].astype(float) * index.groups["size"]).sum())


def _total(run: RunFolder, name: str) -> float | None:
    values = run.metrics.values(name)
    return sum(value for _, value in values) if values else None


def _span(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{seconds:.1f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))


def _paper(run: RunFolder) -> dict[str, str] | None:
    """The paper of a recipe that is known by name; a recipe of the user's own has none here."""
    name = run.config.get("recipe")
    if not isinstance(name, str) or not name.replace("_", "").isalnum():
        return None
    try:
        recipe = load_recipe(name)
    except (ObserveError, OSError):
        return None
    paper = recipe.paper
    if paper is None:
        return {"summary": recipe.summary, "title": "", "arxiv": ""}
    return {"summary": recipe.summary, "title": paper.title, "arxiv": paper.arxiv or ""}


def _settings(stage: Mapping[str, Any]) -> list[list[str]]:
    return [[name, value] for name, value in _flat(stage) if name not in ("name", "type")]


def _facts(*pairs: tuple[str, Any]) -> list[list[str]]:
    return [
        [name, rows.shorten(rows.text(value), MAX_VALUE)[0]]
        for name, value in pairs
        if value is not None and value != ""
    ]


def _flat(value: Any, prefix: str = "", depth: int = 0) -> list[tuple[str, str]]:
    """Nested settings as dotted names, in their order."""
    if isinstance(value, Mapping) and value and depth < 5:
        found = []
        for key, inner in value.items():
            found += _flat(
                inner, f"{prefix}.{rows.text(key)}" if prefix else rows.text(key), depth + 1
            )
        return found[:400]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [
            pair
            for place, item in enumerate(value[:50])
            for pair in _flat(item, f"{prefix}[{place}]", depth + 1)
        ]
    return [(prefix, rows.shorten(rows.text(value), MAX_VALUE)[0])]
