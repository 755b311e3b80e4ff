"""The curves: which metrics are drawn together, under which title, with which unit."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from observe_r1.report import rows
from observe_r1.report.run import Metrics

MAX_POINTS = 2000
"""Longer runs are drawn as means over equal spans of steps; the page says so."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: metrics that belong together."""

    id: str
    title: str
    patterns: tuple[str, ...]
    """Metric names, ``*`` for anything; a metric goes to the first panel that wants it."""
    unit: str = ""
    help: str = ""


PANELS = (
    Panel(
        "accuracy",
        "Accuracy and format",
        ("accuracy", "format", "accuracy/*", "heldout/*accuracy*", "eval/*accuracy*"),
        "share",
        "Share of completions graded right, and share that keeps to the format.",
    ),
    Panel(
        "rewards",
        "Reward parts",
        ("reward", "reward_mean", "reward/*", "rewards/*", "bonus", "bonus/*"),
        "mean a completion",
        "Every part of the reward, and the total with the bonus in it.",
    ),
    Panel(
        "signal",
        "Groups without signal",
        ("zero_signal_share", "zero_signal*", "all_wrong*", "all_right*", "all_correct*"),
        "share",
        "Groups whose completions all earn the same: they move nothing.",
    ),
    Panel(
        "length",
        "Length by correctness",
        ("length", "length_correct", "length_wrong", "length/*", "length_*"),
        "tokens",
        "Mean length of all completions, of correct ones and of wrong ones.",
    ),
    Panel("entropy", "Entropy", ("entropy", "entropy*"), "nats a token", "How undecided it is."),
    Panel(
        "kl",
        "KL from the reference",
        ("kl", "kl/*", "kl_*"),
        "nats a token",
        "How far the policy has moved from where it started.",
    ),
    Panel(
        "truncated", "Cut off by the length limit", ("truncated*", "clipped_length*"), "share", ""
    ),
    Panel(
        "mismatch",
        "Sampler against trainer",
        ("mismatch*", "sampler*", "*mismatch*"),
        "nats a token",
        "How differently the sampler and the trainer see the same tokens.",
    ),
    Panel(
        "clip", "Clipped ratios", ("clip_share", "clip*"), "share", "Tokens whose ratio was clipped."
    ),
    Panel("gradient", "Gradient norm", ("grad_norm*", "gradient*"), "", "Before clipping."),
    Panel("loss", "Loss", ("loss", "loss/*", "*_loss"), "", ""),
    Panel("rate", "Learning rate", ("learning_rate*", "lr", "lr/*"), "", ""),
    Panel("weight", "Group weight", ("weight", "weight/*", "weight_*"), "", "The mean weight f."),
    Panel(
        "groups",
        "Groups and completions",
        ("groups*", "admitted*", "redrawn*", "rejected*", "completions*", "solve_rate", "prompts*"),
        "",
        "",
    ),
    Panel(
        "rung",
        "Place on the ladder",
        ("rung", "curriculum/rung*", "rung*", "curriculum/*", "level*"),
        "rung",
        "",
    ),
    Panel(
        "seconds",
        "Seconds per phase",
        ("seconds", "seconds/*", "time/*"),
        "seconds a step",
        "Where the time of a step goes.",
    ),
    Panel(
        "tokens",
        "Tokens computed and unique",
        ("tokens_*", "tokens", "tokens/*", "num_tokens*"),
        "tokens a step",
        "What went through the model, and how much of it was different.",
    ),
    Panel("memory", "Memory", ("memory*",), "bytes", ""),
)


def build_curves(metrics: Metrics) -> list[dict[str, Any]]:
    """The panels that have data, in order; metrics no panel wants come last, one panel each."""
    waiting = [name for name, column in metrics.columns.items() if any(v is not None for v in column)]
    spans = _spans(len(metrics.steps))
    built = []
    for panel in PANELS:
        names = [n for p in panel.patterns for n in waiting if fnmatchcase(n, p)]
        names = list(dict.fromkeys(names))
        waiting = [name for name in waiting if name not in names]
        if names:
            built.append(_panel(panel, names, metrics, spans))
    for name in sorted(waiting):
        built.append({**_panel(Panel(f"other-{name}", name, ()), [name], metrics, spans), "other": True})
    return built


def _panel(
    panel: Panel, names: list[str], metrics: Metrics, spans: list[slice]
) -> dict[str, Any]:
    return {
        "id": panel.id,
        "title": panel.title,
        "unit": panel.unit,
        "help": panel.help,
        "steps": [metrics.steps[span][-1] for span in spans],
        "series": [
            {"name": name, "values": [_mean(metrics.columns[name][span]) for span in spans]}
            for name in names
        ],
    }


def _spans(length: int) -> list[slice]:
    """Equal spans of rows, at most ``MAX_POINTS`` of them."""
    width = -(-length // MAX_POINTS) or 1
    return [slice(start, min(start + width, length)) for start in range(0, length, width)]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return rows.rounded(sum(known) / len(known)) if known else None
