"""Numbers of all trials → verdicts, as JSON and as a page.

A claim of a difference holds when the mean difference points the claimed way and is at least the
smallest effect of interest, Holm's corrected p is below 0.05, and the guard (if any) keeps; it does
not when the interval excludes an effect of that size; everything else is not decided. A level and a
share of a gap are differences from what is to be reached. Two arms are equal when both one-sided
tests against the smallest effect reject (TOST); they are not when the interval is beyond it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from observe_r1.experiments.plan import Claim, Experiment, Guard
from observe_r1.experiments.statistics import Effect, equality_p, holm, paired_effect

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
    measured = [
        equality_p(effect, claim.smallest) if claim.kind == "equal" else effect.p
        for claim, effect in zip(experiment.claims, effects, strict=True)
        if effect is not None
    ]
    corrected = iter(holm(measured))
    return [
        _verdict(claim, effect, next(corrected) if effect is not None else None, results)
        for claim, effect in zip(experiment.claims, effects, strict=True)
    ]


def _effect(claim: Claim, results: Results) -> Effect | None:
    sign = 1.0 if claim.direction == "higher" else -1.0
    changes = claim_changes(claim, results)
    return paired_effect([sign * d for d in changes]) if len(changes) > 1 else None


def claim_changes(claim: Claim, results: Results) -> list[float]:
    """What a claim is about, seed by seed: positive where the metric is higher than claimed."""
    if claim.worse is None:
        assert claim.level is not None  # checked where the claim is written
        found = results.get(claim.better, {}).values()
        return [f[claim.metric] - claim.level for f in found if claim.metric in f]
    if claim.kind == "gap":
        assert claim.reference is not None and claim.share is not None
        gains = _by_seed(results, claim.better, claim.worse, claim.metric)
        gaps = _by_seed(results, claim.reference, claim.worse, claim.metric)
        return [gains[s] - claim.share * gaps[s] for s in sorted(gains.keys() & gaps.keys())]
    changes = _by_seed(results, claim.better, claim.worse, claim.metric)
    if not claim.relative:
        return list(changes.values())
    before = {seed: results[claim.worse][seed][claim.metric] for seed in changes}
    return [change / before[seed] for seed, change in changes.items() if before[seed]]


def differences(results: Results, better: str, worse: str, metric: str) -> list[float]:
    """Better minus worse, for every seed in which both have the metric."""
    return list(_by_seed(results, better, worse, metric).values())


def _by_seed(results: Results, better: str, worse: str, metric: str) -> dict[int, float]:
    first, second = results.get(better, {}), results.get(worse, {})
    return {
        seed: first[seed][metric] - second[seed][metric]
        for seed in sorted(first.keys() & second.keys())
        if metric in first[seed] and metric in second[seed]
    }


def _verdict(claim: Claim, effect: Effect | None, p: float | None, results: Results) -> Verdict:
    if effect is None or p is None:
        where = "in all its arms" if claim.kind != "level" else f"in arm {claim.better}"
        why = f"fewer than two seeds have {claim.metric} {where}"
        return Verdict(claim, effect, p, NOT_DECIDED, why)
    if claim.kind == "equal":
        return _equality(claim, effect, p)
    if effect.high < claim.smallest:
        why = f"the interval excludes an effect of {claim.smallest:g}"
        return Verdict(claim, effect, p, DOES_NOT, why)
    if claim.guard is not None and (lost := _lost(claim, claim.guard, results)):
        return Verdict(claim, effect, p, lost[0], lost[1])
    if effect.mean >= claim.smallest and p < ALPHA and effect.low > 0:
        return Verdict(claim, effect, p, HOLDS, "")
    return Verdict(claim, effect, p, NOT_DECIDED, "the interval allows both")


def _equality(claim: Claim, effect: Effect, p: float) -> Verdict:
    if p < ALPHA:
        return Verdict(claim, effect, p, HOLDS, "")
    if effect.low > claim.smallest or effect.high < -claim.smallest:
        why = f"the interval excludes a difference of less than {claim.smallest:g}"
        return Verdict(claim, effect, p, DOES_NOT, why)
    return Verdict(claim, effect, p, NOT_DECIDED, "the interval allows both")


def _lost(claim: Claim, guard: Guard, results: Results) -> tuple[str, str] | None:
    """What the guard says against the claim: a certain loss, or one that is not excluded."""
    assert claim.worse is not None  # a level has no guard: there is nothing it could lose against
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
        "missing": missing(experiment, results),
        "plan": experiment.written(),
        "recipe": experiment.recipe,
        "method": experiment.method_arm,
        "equal": experiment.equal,
        "full_scale": experiment.full_scale,
        "budget": experiment.budget.model_dump(),
        "claims": [_claim_row(verdict) for verdict in judge(experiment, results)],
        "arms": {
            arm.name: {
                "summary": arm.summary,
                "recipe": experiment.recipe_of(arm),
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


def missing(experiment: Experiment, results: Results) -> int:
    """How many trials have not been run yet."""
    return sum(
        seed not in results.get(arm.name, {})
        for arm in experiment.arms
        for seed in range(arm.seeds)
    )


def _claim_row(verdict: Verdict) -> dict[str, Any]:
    effect = verdict.effect
    return {
        "claim": verdict.claim.claim,
        "kind": verdict.claim.kind,
        "better": verdict.claim.better,
        "worse": verdict.claim.worse,
        "metric": verdict.claim.metric,
        "relative": verdict.claim.relative,
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


SHOWN = (
    "accuracy", "length", "format", "rollouts", "tokens_generated", "tokens_updated", "seconds",
)  # fmt: skip
"""Readouts of every arm on the page; those that claims are about come after them."""


def to_page(result: Mapping[str, Any]) -> str:
    """The same as Markdown: verdicts first, then the arms."""
    lines = [f"# {result['title']}", ""]
    if result["quick"]:
        lines += ["Quick form: few arms, seeds and steps. It decides little.", ""]
    if left := result.get("missing"):
        done = sum(len(arm["seeds"]) for arm in result["arms"].values())
        lines += [
            f"**Not finished**: {done} of {done + left} trials have been run. Verdicts are those "
            "of the seeds that are there, and may change.",
            "",
        ]
    if result.get("equal"):
        lines += [f"Equal between the arms: {result['equal']}", ""]
    if result.get("base"):
        base = result["base"]
        lines += [
            f"Base `{base['name']}`, made from `{base['from']}` once, in no arm's budget: "
            f"{base['seconds']:.0f} s, {base['updated']:,.0f} tokens updated.",
            "",
        ]
    lines += table(
        ["claim", "effect", "95 % interval", "seeds", "verdict"],
        [_claim_cells(row) for row in result["claims"]],
    )
    lines += ["", "Effects are positive where they point the claimed way.", ""]
    shown = dict.fromkeys([*SHOWN, *(row["metric"] for row in result["claims"])])
    measured = [m for m in shown if any(m in arm["mean"] for arm in result["arms"].values())]
    lines += table(
        ["arm", "seeds", *measured, "what it is"],
        [_arm_cells(name, arm, measured) for name, arm in result["arms"].items()],
    )
    return "\n".join(lines) + "\n"


def _claim_cells(row: Mapping[str, Any]) -> list[str]:
    if row["effect"] is None:
        return [row["claim"], "-", "-", "0", f"{row['verdict']} ({row['why']})"]
    interval = f"[{row['low']:+.3f}, {row['high']:+.3f}]"
    why = f" ({row['why']})" if row["why"] else ""
    of = " (share)" if row.get("relative") else ""
    measured = f"{row['effect']:+.3f} {row['metric']}{of}"
    return [row["claim"], measured, interval, str(row["seeds"]), f"**{row['verdict']}**{why}"]


def _arm_cells(name: str, arm: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    numbers = [number(arm["mean"][m]) if m in arm["mean"] else "-" for m in shown]
    return [name, str(len(arm["seeds"])), *numbers, arm["summary"]]


def number(value: float) -> str:
    """Three places for shares, none for thousands.

    Example:
        (number(0.4567), number(61.25), number(310_000)) == ("0.457", "61.2", "310,000")
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 10 else (
        f"{value:.3f}"
    )  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
