"""The metrics of a step, from what was drawn and what the updates did. The table of all metrics,
with their meaning, is ``metric_table``."""

from collections.abc import Iterable, Sequence

from observe_r1.train.ahead import age
from observe_r1.train.draw import Draw
from observe_r1.train.outcome import Outcome
from observe_r1.types import Completion, Score, WeightedGroup


def step_metrics(draw: Draw, outcome: Outcome, version: int = 0) -> dict[str, float]:
    """What one step shows, timing and memory aside; ``version`` counts the updates before it."""
    ages = [age(group, version) for group in draw.weighted_P]
    return {
        "staleness": mean(ages),
        **_score_metrics(draw.weighted_P),
        **_group_metrics(draw),
        **_length_metrics(draw.weighted_P),
        **{name: stat.value for name, stat in sorted(outcome.stats.items())},
        "loss": float(outcome.loss),
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
