"""Every metric of a step: its kind, unit and meaning, in one table that also makes the docs page.

Two equal runs have equal metrics, except those of kind ``timing`` and ``memory``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from observe_r1.train.draw import Draw
from observe_r1.train.optimise import Outcome
from observe_r1.types import Completion, Score, WeightedGroup


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table; ``name`` may end in ``*``."""

    name: str
    unit: str
    meaning: str
    kind: Literal["value", "timing", "memory"] = "value"


METRICS: tuple[Metric, ...] = (
    Metric("accuracy", "share", "correct completions among all that were drawn"),
    Metric("format", "share", "completions that follow the grammar"),
    Metric("reward", "points", "mean total reward, bonus included"),
    Metric("reward_std", "points", "mean over groups of the spread of rewards within a group"),
    Metric("bonus", "points", "mean bonus a completion"),
    Metric("bonus_share", "share", "completions that got a bonus"),
    Metric("rewards/*", "points", "mean of one named reward"),
    Metric("solve_rate/none", "share", "groups in which no completion is correct"),
    Metric("solve_rate/some", "share", "groups with correct and wrong completions"),
    Metric("solve_rate/all", "share", "groups in which every completion is correct"),
    Metric("solve_rate/histogram/*", "groups", "groups whose solve rate rounds to this eighth"),
    Metric("weight", "factor", "mean group weight"),
    Metric("groups/drawn", "groups", "groups generated, rejected ones included"),
    Metric("groups/admitted", "groups", "groups the step trains on"),
    Metric("groups/zero_weight", "share", "admitted groups that do not move the policy"),
    Metric("groups/rounds", "rounds", "times prompts were drawn (dynamic sampling)"),
    Metric("length", "tokens", "mean completion length"),
    Metric("length_correct", "tokens", "mean length of correct completions"),
    Metric("length_wrong", "tokens", "mean length of wrong completions"),
    Metric("truncated", "share", "completions cut off by max_new_tokens"),
    Metric("loss", "nats", "the loss, over all updates of the step"),
    Metric("entropy", "nats", "mean entropy of the distributions tokens were drawn from"),
    Metric("kl", "nats", "mean KL estimate to the reference model, a token"),
    Metric("clip_low", "share", "tokens whose gradient the lower clip removes"),
    Metric("clip_high", "share", "tokens whose gradient the upper clip removes"),
    Metric("ratio", "factor", "mean importance ratio"),
    Metric("mismatch/logprob", "nats", "mean |log-prob difference| between trainer and sampler"),
    Metric("mismatch/kl", "nats", "k3 estimate of KL(sampler || trainer)"),
    Metric("grad_norm", "norm", "gradient norm of the last update, before clipping"),
    Metric("lr", "rate", "learning rate of the last update"),
    Metric("silent_steps", "steps", "steps so far in which no group had a signal"),
    Metric("skipped_steps", "steps", "steps so far in which loss or gradient was not finite"),
    Metric("tokens/generated", "tokens", "completion tokens drawn"),
    Metric("tokens/computed", "tokens", "tokens of the update's forward passes"),
    Metric("tokens/unique", "tokens", "the same, each prompt counted once a group"),
    Metric("curriculum/*", "", "where the curriculum stands; see its own description"),
    Metric("eval/*", "share", "measured on held-out questions"),
    Metric("timing/*", "seconds", "wall-clock time of a phase, or of the whole step", "timing"),
    Metric("memory/*", "MiB", "largest memory so far", "memory"),
)


def find_metric(name: str) -> Metric | None:
    """The table's row for a metric."""
    for metric in METRICS:
        pattern = re.escape(metric.name).replace(r"\*", ".+")
        if re.fullmatch(pattern, name):
            return metric
    return None


def is_reproducible(name: str) -> bool:
    """Whether two equal runs must agree on it."""
    metric = find_metric(name)
    return metric is None or metric.kind == "value"


def step_metrics(draw: Draw, outcome: Outcome) -> dict[str, float]:
    """What one step shows, timing and memory aside."""
    return {
        **_score_metrics(draw.weighted_P),
        **_group_metrics(draw),
        **_length_metrics(draw.weighted_P),
        **{name: stat.value for name, stat in sorted(outcome.stats.items())},
        "loss": outcome.loss,
        "grad_norm": outcome.grad_norm,
        "lr": outcome.lr,
        "tokens/computed": outcome.tokens_computed,
        "tokens/unique": outcome.tokens_unique,
    }


def _score_metrics(groups: Sequence[WeightedGroup]) -> dict[str, float]:
    scores: list[Score] = [s for g in groups for s in g.scored.scores_G]
    names = sorted({name for s in scores for name in s.rewards})
    spreads = [_spread([s.reward for s in g.scored.scores_G]) for g in groups]
    return {
        "accuracy": mean(s.correct for s in scores),
        "format": mean(s.well_formed for s in scores),
        "reward": mean(s.reward for s in scores),
        "reward_std": mean(spreads),
        "bonus": mean(s.bonus for s in scores),
        "bonus_share": mean(s.bonus > 0 for s in scores),
        **{f"rewards/{n}": mean(s.rewards[n] for s in scores if n in s.rewards) for n in names},
    }


def _group_metrics(draw: Draw) -> dict[str, float]:
    rates = [g.scored.solve_rate for g in draw.weighted_P]
    admitted = [g for g in draw.weighted_P if g.admitted]
    eighths = [round(rate * 8) for rate in rates]
    return {
        "solve_rate/none": mean(rate == 0 for rate in rates),
        "solve_rate/some": mean(0 < rate < 1 for rate in rates),
        "solve_rate/all": mean(rate == 1 for rate in rates),
        **{f"solve_rate/histogram/{i}": float(eighths.count(i)) for i in range(9)},
        "weight": mean(g.weight for g in draw.weighted_P),
        "groups/drawn": len(draw.weighted_P),
        "groups/admitted": len(admitted),
        "groups/zero_weight": mean(not g.has_signal for g in admitted),
        "groups/rounds": draw.rounds,
    }


def _length_metrics(groups: Sequence[WeightedGroup]) -> dict[str, float]:
    pairs: list[tuple[Completion, Score]] = [
        pair
        for g in groups
        for pair in zip(g.scored.rollout.completions_G, g.scored.scores_G, strict=True)
    ]
    found = {
        "length": mean(c.num_tokens for c, _ in pairs),
        "truncated": mean(c.truncated for c, _ in pairs),
        "tokens/generated": sum(c.num_tokens for c, _ in pairs),
    }
    # Left out where there is none: a mean over nothing is no length of zero.
    for name, wanted in (("length_correct", True), ("length_wrong", False)):
        if lengths := [c.num_tokens for c, s in pairs if s.correct is wanted]:
            found[name] = mean(lengths)
    return found


def mean(values: Iterable[float]) -> float:
    listed = [float(value) for value in values]
    return sum(listed) / len(listed) if listed else 0.0


def _spread(values: Sequence[float]) -> float:
    center = mean(values)
    return (sum((v - center) ** 2 for v in values) / max(len(values) - 1, 1)) ** 0.5
