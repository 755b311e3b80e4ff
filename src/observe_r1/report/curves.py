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
    other: bool = False
    """Shown with the further metrics, which are folded away."""


PANELS = (
    Panel(
        "accuracy",
        "Accuracy and format",
        ("accuracy", "format"),
        "share",
        "Completions graded right, and completions that keep to the format.",
    ),
    Panel(
        "rewards",
        "Reward parts",
        ("reward", "rewards/*", "bonus"),
        "points",
        "Every part of the reward, and the total with the bonus in it.",
    ),
    Panel(
        "signal",
        "Groups without signal",
        ("groups/zero_weight", "solve_rate/none", "solve_rate/all"),
        "share",
        "Groups that move nothing, those all wrong and those all right.",
    ),
    Panel(
        "heldout",
        "Held-out questions",
        ("eval/accuracy*", "eval/format", "eval/*/accuracy*", "eval/*/format"),
        "share",
        "Measured while training goes on.",
    ),
    Panel(
        "supervised",
        "Learnt tokens and preferences",
        ("token_accuracy", "preference/accuracy"),
        "share",
        "Tokens the model found likeliest, and pairs whose chosen trace gained on the other.",
    ),
    Panel(
        "validation",
        "Validation loss",
        ("eval/loss/*",),
        "nats a token",
        "Loss on traces that are not learnt.",
    ),
    Panel(
        "length",
        "Length by correctness",
        ("length", "length_correct", "length_wrong", "eval/length", "eval/*/length"),
        "tokens",
        "Mean length of all completions, of correct ones and of wrong ones.",
    ),
    Panel("entropy", "Entropy", ("entropy",), "nats a token", "How undecided the policy is."),
    Panel(
        "kl",
        "KL from the reference",
        ("kl", "kl/*"),
        "nats a token",
        "How far the policy has moved from where it started.",
    ),
    Panel(
        "truncated",
        "Cut off by the length limit",
        ("truncated",),
        "share",
        "Completions that had no room left for an answer.",
    ),
    Panel(
        "mismatch",
        "Sampler against trainer",
        ("mismatch/*",),
        "nats a token",
        "How differently the two see the same tokens.",
    ),
    Panel(
        "clip",
        "Clipped ratios",
        ("clip_low", "clip_high", "clip_share"),
        "share",
        "Tokens whose gradient the clip removes.",
    ),
    Panel("gradient", "Gradient norm", ("grad_norm",), "", "Before clipping."),
    Panel(
        "rung",
        "Place on the ladder",
        ("curriculum/rung", "curriculum/level"),
        "rung",
        "What the curriculum serves.",
    ),
    Panel(
        "seconds",
        "Seconds per phase",
        ("timing/*",),
        "seconds a step",
        "Where the time of a step goes.",
    ),
    Panel(
        "tokens",
        "Tokens computed and unique",
        ("tokens/*",),
        "tokens a step",
        "What went through the model, and how much of it was different.",
    ),
    Panel("memory", "Memory", ("memory/*",), "MiB", "The most that was used so far."),
    Panel("loss", "Loss", ("loss",), "", "", other=True),
    Panel("rate", "Learning rate", ("lr",), "", "", other=True),
    Panel("weight", "Group weight", ("weight",), "", "The mean weight f.", other=True),
    Panel("ratio", "Importance ratio", ("ratio",), "", "", other=True),
    Panel("spread", "Spread of rewards", ("reward_std", "bonus_share"), "", "", other=True),
    Panel("groups", "Groups", ("groups/*",), "groups", "", other=True),
    Panel("histogram", "Groups by solve rate", ("solve_rate/*",), "groups", "", other=True),
    Panel("streaks", "Steps that did nothing", ("*_steps",), "steps", "", other=True),
    Panel("curriculum", "Curriculum", ("curriculum/*",), "", "", other=True),
)


def build_curves(metrics: Metrics) -> list[dict[str, Any]]:
    """The panels that have data, in order; metrics no panel wants come last, one panel each."""
    waiting = [
        name for name, column in metrics.columns.items() if any(v is not None for v in column)
    ]
    spans = _spans(len(metrics.steps))
    built = []
    for panel in PANELS:
        names = [n for p in panel.patterns for n in waiting if fnmatchcase(n, p)]
        names = list(dict.fromkeys(names))
        waiting = [name for name in waiting if name not in names]
        if names:
            built.append(_panel(panel, names, metrics, spans))
    for name in sorted(waiting):
        built.append(_panel(Panel(f"other-{name}", name, (), other=True), [name], metrics, spans))
    return built


def _panel(panel: Panel, names: list[str], metrics: Metrics, spans: list[slice]) -> dict[str, Any]:
    return {
        "id": panel.id,
        "title": panel.title,
        "unit": panel.unit,
        "help": panel.help,
        "other": panel.other,
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
