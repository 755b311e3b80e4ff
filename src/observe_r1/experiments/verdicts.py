"""Numbers of all trials → verdicts, as JSON and as a page.

A claim holds when the mean difference points the claimed way and is at least the smallest effect of
interest, Holm's corrected p is below 0.05, and the guard (if any) keeps; it does not when the
interval excludes an effect of that size; everything else is not decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from observe_r1.experiments.plan import Claim, Experiment, Guard
from observe_r1.experiments.statistics import Effect, holm, paired_effect

ALPHA = 0.05
HOLDS, DOES_NOT, NOT_DECIDED = "holds", "does not", "not decided"

Results = Mapping[str, Mapping[int, Mapping[str, float]]]
"""arm → seed → readouts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a claim; its effect is positive where it points the claimed way.

    Example:
        Verdict(claim, Effect(0.05, 0.02, 0.08, 0.004, 10), p=0.012, verdict="holds", why="")
    """

    claim: Claim
    effect: Effect | None
    p: float | None
    """Corrected over the claims."""
    verdict: str
    why: str


def judge(experiment: Experiment, results: Results) -> list[Verdict]:
    """A verdict a claim."""
    effects = [_effect(claim, results) for claim in experiment.claims]
    measured = [effect.p for effect in effects if effect is not None]
    corrected = iter(holm(measured))
    return [
        _verdict(claim, effect, next(corrected) if effect is not None else None, results)
        for claim, effect in zip(experiment.claims, effects, strict=True)
    ]


def _effect(claim: Claim, results: Results) -> Effect | None:
    sign = 1.0 if claim.direction == "higher" else -1.0
    changes = differences(results, claim.better, claim.worse, claim.metric)
    return paired_effect([sign * d for d in changes]) if len(changes) > 1 else None


def differences(results: Results, better: str, worse: str, metric: str) -> list[float]:
    """Better minus worse, for every seed in which both have the metric."""
    first, second = results.get(better, {}), results.get(worse, {})
    return [
        first[seed][metric] - second[seed][metric]
        for seed in sorted(first.keys() & second.keys())
        if metric in first[seed] and metric in second[seed]
    ]


def _verdict(claim: Claim, effect: Effect | None, p: float | None, results: Results) -> Verdict:
    if effect is None or p is None:
        why = f"fewer than two seeds have {claim.metric} in both arms"
        return Verdict(claim, effect, p, NOT_DECIDED, why)
    if claim.guard is not None and (lost := _lost(claim, claim.guard, results)):
        return Verdict(claim, effect, p, lost[0], lost[1])
    if effect.mean >= claim.smallest and p < ALPHA and effect.low > 0:
        return Verdict(claim, effect, p, HOLDS, "")
    if effect.high < claim.smallest:
        why = f"the interval excludes an effect of {claim.smallest:g}"
        return Verdict(claim, effect, p, DOES_NOT, why)
    return Verdict(claim, effect, p, NOT_DECIDED, "the interval allows both")


def _lost(claim: Claim, guard: Guard, results: Results) -> tuple[str, str] | None:
    """What the guard says against the claim: a certain loss, or one that is not excluded."""
    changes = differences(results, claim.better, claim.worse, guard.metric)
    if len(changes) < 2:
        return NOT_DECIDED, f"{guard.metric} was not measured"
    change = paired_effect(changes)
    if change.high < -guard.margin:
        return DOES_NOT, f"{guard.metric} falls by {-change.mean:.3f}"
    if change.low < -guard.margin:
        return NOT_DECIDED, f"a loss of {guard.metric} over {guard.margin:g} is not excluded"
    return None


def to_json(experiment: Experiment, results: Results, *, quick: bool) -> dict[str, Any]:
    """The committed result: claims with effects and verdicts, then every number behind them."""
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "quick": quick,
        "claims": [_claim_row(verdict) for verdict in judge(experiment, results)],
        "arms": {
            arm.name: {
                "summary": arm.summary,
                "seeds": sorted(results.get(arm.name, {})),
                "mean": means(results.get(arm.name, {})),
            }
            for arm in experiment.arms
        },
        "trials": {
            arm: {str(seed): dict(found) for seed, found in sorted(seeds.items())}
            for arm, seeds in results.items()
        },
    }


def _claim_row(verdict: Verdict) -> dict[str, Any]:
    effect = verdict.effect
    return {
        "claim": verdict.claim.claim,
        "better": verdict.claim.better,
        "worse": verdict.claim.worse,
        "metric": verdict.claim.metric,
        "smallest": verdict.claim.smallest,
        "effect": effect.mean if effect else None,
        "low": effect.low if effect else None,
        "high": effect.high if effect else None,
        "p": verdict.p,
        "seeds": effect.seeds if effect else 0,
        "verdict": verdict.verdict,
        "why": verdict.why,
    }


def means(seeds: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for found in seeds.values() for name in found})
    return {name: fmean(found[name] for found in seeds.values() if name in found) for name in names}


SHOWN = ("accuracy", "format", "length_correct", "curve_area", "no_signal", "observed_recall")


def to_page(result: Mapping[str, Any]) -> str:
    """The same as Markdown: verdicts first, then the arms."""
    lines = [f"# {result['title']}", ""]
    if result["quick"]:
        lines += ["Quick form: few arms, seeds and steps. It decides little.", ""]
    lines += _table(
        ["claim", "effect", "95 % interval", "seeds", "verdict"],
        [_claim_cells(row) for row in result["claims"]],
    )
    lines += ["", "Effects are positive where they point the claimed way.", ""]
    lines += _table(
        ["arm", "seeds", *SHOWN, "what it is"],
        [_arm_cells(name, arm) for name, arm in result["arms"].items()],
    )
    return "\n".join(lines) + "\n"


def _claim_cells(row: Mapping[str, Any]) -> list[str]:
    if row["effect"] is None:
        return [row["claim"], "-", "-", "0", f"{row['verdict']} ({row['why']})"]
    interval = f"[{row['low']:+.3f}, {row['high']:+.3f}]"
    why = f" ({row['why']})" if row["why"] else ""
    measured = f"{row['effect']:+.3f} {row['metric']}"
    return [row["claim"], measured, interval, str(row["seeds"]), f"**{row['verdict']}**{why}"]


def _arm_cells(name: str, arm: Mapping[str, Any]) -> list[str]:
    numbers = [f"{arm['mean'][m]:.3f}" if m in arm["mean"] else "-" for m in SHOWN]
    return [name, str(len(arm["seeds"])), *numbers, arm["summary"]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
