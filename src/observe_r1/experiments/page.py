"""The page of an experiment, from its JSON alone: verdicts, figures, tables, costs.

    docs/results/observe_r1.json  ─▶  observe_r1.md  observe_r1-effects.svg  observe_r1-curves.svg

What people write between the two marks of "What surprised" stays when the page is made again:

    python -m observe_r1.experiments.page docs/results/observe_r1.json
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from observe_r1.experiments.figures import curves_figure, effects_figure
from observe_r1.experiments.statistics import paired_effect
from observe_r1.experiments.verdicts import number, table, to_page
from observe_r1.records import read_json, write_atomic

BEGIN, END = "<!-- written by hand: begin -->", "<!-- written by hand: end -->"
UNWRITTEN = "Nothing has been written here yet."
LEVEL = "accuracy/level "
OBSERVED = ("observed_precision", "observed_recall")
SPENT = 0.95
"""Share of a budget from which on it counts as spent."""

Trials = Mapping[str, Mapping[str, Mapping[str, float]]]
"""arm → seed → readouts, as JSON has them."""


def write_page(result: Mapping[str, Any], folder: Path) -> Path:
    """``<name>.md`` and its figures; returns the page."""
    name = result["experiment"]
    path = folder / f"{name}.md"
    figures = {
        "effects": effects_figure(result["claims"]),
        "curves": curves_figure(_curves(result), _budget(result, "generated")),
    }
    for kind, drawn in figures.items():
        if drawn is not None:
            write_atomic(folder / f"{name}-{kind}.svg", drawn)
    names = {kind: f"{name}-{kind}.svg" for kind, drawn in figures.items() if drawn is not None}
    written = kept_notes(path.read_text(encoding="utf-8")) if path.exists() else UNWRITTEN
    write_atomic(path, page_text(result, names, written))
    return path


def _curves(result: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {arm: list(seeds.values()) for arm, seeds in result.get("curves", {}).items()}


def page_text(result: Mapping[str, Any], figures: Mapping[str, str], written: str) -> str:
    """The page as Markdown."""
    sections = [
        to_page(result).rstrip("\n"),
        _figure("Effects", figures.get("effects"), "Right of the dotted line is what matters."),
        _figure("Learning curves", figures.get("curves"), "All arms have the same budget."),
        _levels(result),
        _observation(result),
        _budgets(result),
        f"## What surprised\n\n{BEGIN}\n{written}\n{END}",
        f"## At full scale\n\n{result['full_scale']}" if result.get("full_scale") else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def kept_notes(page: str) -> str:
    """What people have written into a page that was made before."""
    start, end = page.find(BEGIN), page.find(END)
    return page[start + len(BEGIN) : end].strip("\n") if 0 <= start < end else UNWRITTEN


def _figure(title: str, name: str | None, note: str) -> str:
    return f"## {title}\n\n![{title}]({name})\n\n{note}" if name else ""


def _levels(result: Mapping[str, Any]) -> str:
    """Accuracy by the level puzzles are made at, with intervals over seeds."""
    trials: Trials = result["trials"]
    names = sorted({n for arm in trials.values() for found in arm.values() for n in found
                    if n.startswith(LEVEL)}, key=lambda n: int(n.removeprefix(LEVEL)))  # fmt: skip
    if not names:
        return ""
    rows = [
        [arm, *(_with_interval([f[n] for f in seeds.values() if n in f]) for n in names)]
        for arm, seeds in trials.items()
    ]
    head = ["arm", *(f"level {n.removeprefix(LEVEL)}" for n in names)]
    lead = "## By level\n\nHeld-out accuracy in per cent, ± half of its 95 % interval over seeds."
    return "\n".join([lead, "", *table(head, rows)])


def _with_interval(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) < 2:
        return f"{100 * values[0]:.1f}"
    effect = paired_effect(values)
    return f"{100 * effect.mean:.1f} ± {50 * (effect.high - effect.low):.1f}"


def _observation(result: Mapping[str, Any]) -> str:
    """What the observe section says against what is in the picture, before and after."""
    rows = []
    for arm, seeds in result["trials"].items():
        start = result.get("start", {}).get(arm, {})
        cells = [_change(start.get(n), [f[n] for f in seeds.values() if n in f]) for n in OBSERVED]
        if any(cell != "-" for cell in cells):
            rows.append([arm, *cells])
    if not rows:
        return ""
    lead = (
        "## What the observe section says\n\nPrecision: of the facts stated, how many are true. "
        "Recall: of the true facts, how many are stated. In per cent, after training; in brackets "
        "the change from the untrained model with its 95 % interval over seeds."
    )
    return "\n".join([lead, "", *table(["arm", "precision", "recall"], rows)])


def _change(start: float | None, after: Sequence[float]) -> str:
    if not after:
        return "-"
    shown = f"{100 * fmean(after):.1f}"
    if start is None or len(after) < 2:
        return shown
    effect = paired_effect([100 * (value - start) for value in after])
    return f"{shown} ({effect.mean:+.1f} [{effect.low:+.1f}, {effect.high:+.1f}])"


def _budgets(result: Mapping[str, Any]) -> str:
    """What each arm has used of what it was given, and which limit ended it."""
    limits = {name: _budget(result, name) for name in ("generated", "updated")}
    rows = [
        _budget_row(arm, list(seeds.values()), limits) for arm, seeds in result["trials"].items()
    ]
    head = ["arm", "generated", "updated on", "steps", "rollouts", "seconds", "ended by"]
    return "\n".join(
        ["## Budgets and costs", "", _costs_in_words(result, limits), "", *table(head, rows)]
    )


def _costs_in_words(result: Mapping[str, Any], limits: Mapping[str, float | None]) -> str:
    words = {"generated": "generate", "updated": "update on"}
    given = " and ".join(f"{words[n]} {limit:,.0f}" for n, limit in limits.items() if limit)
    trials = [found for seeds in result["trials"].values() for found in seeds.values()]
    hours = sum(found.get("seconds", 0.0) for found in trials) / 3600
    machine = result.get("machine")
    where = f", {machine['trials_at_once']} at a time" if machine else ""
    on_gpu = sum(bool(found.get("on_gpu")) for found in trials)
    if on_gpu:  # whose machine had how many cores is not known
        where += " on a GPU" if on_gpu == len(trials) else f", {on_gpu} of them on a GPU"
    elif machine:
        where += f" on {machine['cpus']} cores"
    rule = (
        f"Every arm may {given} tokens; the step that spends either is the last. " if given else ""
    )
    costs = f"Means over seeds. {len(trials)} trials trained for {hours:.1f} h in all{where}."
    unlike = _unlike_in_words(result, limits)
    return f"{rule}{costs}{_unspent_in_words(result, limits)}{unlike}"


def _unspent_in_words(result: Mapping[str, Any], limits: Mapping[str, float | None]) -> str:
    """Arms that ended for another reason, which budgets do not make equal to the others."""
    shares = {}
    for arm, seeds in result["trials"].items():
        used = _shares_used(list(seeds.values()), limits)
        if used and max(used.values()) < SPENT:
            shares[arm] = max(used.values())
    if not shares:
        return ""
    named = ", ".join(f"{arm} ({100 * share:.0f} %)" for arm, share in shares.items())
    return f" **Not all of a budget was spent by {named}**: compare these with care."


UNLIKE = 0.1
"""Shares of a limit that two arms used may differ by so much and still be called equal."""


def _unlike_in_words(result: Mapping[str, Any], limits: Mapping[str, float | None]) -> str:
    """Limits of which arms used unlike shares: another one ended them."""
    used = {
        arm: _shares_used(list(seeds.values()), limits) for arm, seeds in result["trials"].items()
    }
    words = []
    for name, limit in limits.items():
        shares = {arm: share[name] for arm, share in used.items() if name in share}
        if not limit or not shares:
            continue
        low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        if shares[high] - shares[low] > UNLIKE:
            words.append(
                f"of the tokens {name} {low} used {100 * shares[low]:.0f} % and {high} "
                f"{100 * shares[high]:.0f} %"
            )
    return f" Limits, not equal amounts: {'; '.join(words)}." if words else ""


def _budget_row(
    arm: str, found: Sequence[Mapping[str, float]], limits: Mapping[str, float | None]
) -> list[str]:
    used = {name: _mean(found, f"tokens_{name}") for name in limits}
    shares = _shares_used(found, limits)
    ended = [name for name, share in shares.items() if share >= 1.0]
    return [
        arm,
        *(_used(used[name], shares.get(name)) for name in limits),
        f"{sum(_mean(found, name) for name in _names(found, 'steps/')):,.0f}",
        f"{_mean(found, 'rollouts'):,.0f}",
        f"{_mean(found, 'seconds'):,.0f}",
        " and ".join(ended) or "-",
    ]


def _shares_used(
    found: Sequence[Mapping[str, float]], limits: Mapping[str, float | None]
) -> dict[str, float]:
    """Of each limit that there is."""
    return {n: _mean(found, f"tokens_{n}") / limit for n, limit in limits.items() if limit}


def _budget(result: Mapping[str, Any], name: str) -> float | None:
    return result.get("budget", {}).get(name)


def _used(tokens: float, share: float | None) -> str:
    return number(tokens) if share is None else f"{number(tokens)} ({100 * share:.0f} %)"


def _mean(found: Sequence[Mapping[str, float]], name: str) -> float:
    values = [f[name] for f in found if name in f]
    return fmean(values) if values else 0.0


def _names(found: Sequence[Mapping[str, float]], start: str) -> list[str]:
    return sorted({name for f in found for name in f if name.startswith(start)})


def main() -> None:
    """Make the pages of results anew, notes kept."""
    for name in sys.argv[1:]:
        print(f"wrote {write_page(read_json(Path(name)), Path(name).parent)}")


if __name__ == "__main__":
    main()
