"""Whether training is healthy, in plain words: what a person would say after an hour with the run.

Each check looks at one thing and says nothing where it is fine or cannot be known. To add one: a
function from ``Evidence`` to findings, and what it looks at in ``CHECKS``.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, Literal

import numpy as np

from observe_r1.report import rows
from observe_r1.report.evaluations import mean_interval
from observe_r1.report.index import Index
from observe_r1.report.ladder import question_column
from observe_r1.report.run import Metrics, RunFolder
from observe_r1.report.texts import Part, read_parts

Tone = Literal["good", "note", "warning", "serious"]
TONES: tuple[Tone, ...] = ("serious", "warning", "note", "good")
ENOUGH_STEPS = 8
ENOUGH_QUESTIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence or two about the run.

    Example:
        Finding(tone="warning", title="Format reward is saturated",
                text="rewards/format has stood at 0.50 since step 40: it no longer tells …")
    """

    tone: Tone
    title: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAgain:
    """Solve rates the first and the last time a question was asked: fair on a ladder too."""

    questions: int
    first: float
    last: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the checks look at."""

    run: RunFolder
    index: Index
    rungs: np.ndarray
    """Rung of each group, NaN where unknown."""
    parts: tuple[Part, Part] | None
    """The completions early and late, where there are enough."""

    @property
    def metrics(self) -> Metrics:
        return self.run.metrics

    @cached_property
    def asked_again(self) -> AskedAgain | None:
        """None where fewer than ``ENOUGH_QUESTIONS`` questions came back at a later step."""
        groups = self.index.groups
        order = np.argsort(groups["step"], kind="stable")
        samples = groups["sample"][order]
        _, first = np.unique(samples, return_index=True)
        _, last = np.unique(samples[::-1], return_index=True)
        early, late = order[first], order[::-1][last]
        again = groups["step"][late] > groups["step"][early]
        rates = self.index.solve_rates
        one, two = rates[early[again]], rates[late[again]]
        interval = mean_interval((two - one).tolist())
        if interval is None or len(one) < ENOUGH_QUESTIONS:
            return None
        return AskedAgain(
            questions=len(one), first=float(one.mean()), last=float(two.mean()), **interval
        )

    def early_late(self, name: str) -> tuple[float, float] | None:
        """Means of the first and the last fifth of a metric; None where it is too short."""
        values = [value for _, value in self.metrics.values(name)]
        if len(values) < ENOUGH_STEPS:
            return None
        width = max(len(values) // 5, 3)
        return fmean(values[:width]), fmean(values[-width:])


def gather(run: RunFolder, index: Index) -> Evidence:
    """What a run folder has to say to the checks."""
    golds = {question.id: question.answer for question in run.questions.values()}
    rungs = question_column(run, index, "rung")
    return Evidence(run=run, index=index, rungs=rungs, parts=read_parts(run.rollouts, index, golds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What all checks together had to say."""

    findings: tuple[Finding, ...]
    """The most serious first."""
    silent: tuple[str, ...]
    """What was looked at without a finding: it is fine, or too little is recorded to know."""


def examine(evidence: Evidence) -> Checkup:
    found: list[Finding] = []
    silent = []
    for name, check in CHECKS.items():
        said = list(check(evidence))
        found += said
        if not said:
            silent.append(name)
    if not found:
        text = "Nothing stands out. With few steps recorded this says little."
        found = [Finding(tone="note", title="No findings", text=text)]
    ordered = sorted(found, key=lambda finding: TONES.index(finding.tone))
    return Checkup(findings=tuple(ordered), silent=tuple(silent))


def _not_finite(evidence: Evidence) -> Iterator[Finding]:
    bad = evidence.metrics.not_finite
    # Others may be undefined in good health: the mean length of wrong completions, where none is.
    grave = {name: bad[name] for name in ("loss", "grad_norm", "kl", "entropy") if name in bad}
    if grave:
        names = ", ".join(f"{name} ({count} steps)" for name, count in grave.items())
        text = f"Not finite: {names}. Updates of those steps cannot be trusted."
        yield Finding(tone="serious", title="Numbers that are not finite", text=text)


def _accuracy(evidence: Evidence) -> Iterator[Finding]:
    both = evidence.early_late("accuracy")
    if both is None:
        return
    early, late = both
    change = f"Accuracy went from {_percent(early)} (first fifth of the steps) to {_percent(late)}"
    ladder = rows.mapping(evidence.run.stage.get("curriculum")).get("type") == "ladder"
    climb = " although the ladder served harder questions" if ladder else ""
    if late > early + 0.03:
        yield Finding(tone="good", title="It learns", text=f"{change} (last fifth){climb}.")
    elif ladder and evidence.asked_again is not None:
        return  # the same questions say it better
    elif ladder:
        text = f"{change} (last fifth). The ladder serves harder questions as it climbs, so this "
        text += "says little: compare rungs in the heat map, and the evaluations."
        yield Finding(tone="note", title="Training accuracy on a ladder", text=text)
    elif late < early - 0.05:
        text = f"{change} (last fifth) on questions in no order of difficulty."
        yield Finding(tone="serious", title="Accuracy falls", text=text)
    else:
        yield Finding(
            tone="note", title="Accuracy stays where it is", text=f"{change} (last fifth)."
        )


def _asked_again(evidence: Evidence) -> Iterator[Finding]:
    again = evidence.asked_again
    if again is None:
        return
    text = f"{again.questions:,} questions were asked more than once: {_percent(again.first)} of "
    text += f"their completions were right the first time, {_percent(again.last)} the last time "
    text += f"({_points(again.value)} points, 95 % interval {_points(again.low)} to "
    text += f"{_points(again.high)}). They were trained on in between: held-out questions say how "
    text += "much carries over."
    if again.low > 0:
        yield Finding(tone="good", title="The same questions go better", text=text)
    elif again.high < 0:
        yield Finding(tone="serious", title="The same questions go worse", text=text)
    else:
        yield Finding(tone="note", title="The same questions go as before", text=text)


def _reward_without_accuracy(evidence: Evidence) -> Iterator[Finding]:
    reward, accuracy = evidence.early_late("reward"), evidence.early_late("accuracy")
    if not reward or not accuracy:
        return
    if reward[1] > reward[0] + 0.1 and accuracy[1] < accuracy[0] - 0.03:
        text = f"The reward rose from {reward[0]:.2f} to {reward[1]:.2f} while accuracy fell from "
        text += f"{_percent(accuracy[0])} to {_percent(accuracy[1])}: read the highest rewarded "
        text += "completions for what earns reward without being right."
        yield Finding(tone="warning", title="Reward rises without accuracy", text=text)


def _saturated(evidence: Evidence) -> Iterator[Finding]:
    for name in evidence.metrics.columns:
        if not name.startswith("rewards/"):
            continue
        series = evidence.metrics.values(name)
        if len(series) < ENOUGH_STEPS:
            continue
        tail = [value for _, value in series[-max(len(series) // 4, 4) :]]
        top, part = max(value for _, value in series), name.removeprefix("rewards/")
        if max(tail) - min(tail) > 0.02 * max(abs(top), 1e-9):
            continue
        level = fmean(tail)
        since = next(s for s, v in series if abs(v - level) <= 0.03 * max(abs(top), 1e-9))
        if abs(level) < 1e-9:
            text = (
                f"{name} has been 0 for the last {len(tail)} steps: no completion earns it, so it "
            )
            text += "cannot teach. Easier questions or a warm-up stage would give it something."
            yield Finding(tone="warning", title=f"The {part} reward is never earned", text=text)
        elif level >= 0.98 * top:
            text = (
                f"{name} stands at {level:.2f} and moves no more (first reached at step {since}): "
            )
            text += "completions differ in it no longer, so it has stopped teaching."
            yield Finding(tone="note", title=f"The {part} reward is saturated", text=text)


def _zero_signal(evidence: Evidence) -> Iterator[Finding]:
    both = evidence.early_late("groups/zero_weight")
    if both and both[1] > 0.5:
        text = (
            f"In the last fifth of the steps {_percent(both[1])} of the groups moved nothing, "
            "mostly because their completions were all right or all wrong. Admission 'mixed' with "
            "re-drawing, or questions nearer to a solve rate of one half, would help."
        )
        yield Finding(tone="warning", title="Most groups carry no signal", text=text)


def _length(evidence: Evidence) -> Iterator[Finding]:
    both = evidence.early_late("length")
    accuracy = evidence.early_late("accuracy")
    if not both or both[0] <= 0:
        return
    early, late = both
    kept = accuracy is not None and accuracy[1] >= accuracy[0] - 0.02
    said = f"Completions went from {early:.0f} to {late:.0f} tokens on average"
    if late < 0.4 * early:
        tone: Tone = "warning" if kept else "serious"
        text = said + (", and accuracy did not suffer." if kept else ", and accuracy fell with it.")
        text += " Look whether the observe and think sections still say anything."
        yield Finding(tone=tone, title="Length collapsed", text=text)
    elif late > 2.5 * early:
        text = said + ". Check that the added text is reasoning and not repetition."
        yield Finding(tone="warning", title="Completions grow", text=text)


def _truncated(evidence: Evidence) -> Iterator[Finding]:
    groups = evidence.index.groups
    if len(groups) < 20:
        return
    tail = groups[-max(len(groups) // 5, 10) :]
    share = float(tail["truncated"].sum() / max(tail["size"].sum(), 1))
    if share > 0.15:
        text = (
            f"{_percent(share)} of the latest completions hit the length limit and could not give "
        )
        text += "an answer. Raise sampling.max_new_tokens or reward brevity."
        yield Finding(tone="warning", title="Many completions are cut off", text=text)


def _all_wrong_rungs(evidence: Evidence) -> Iterator[Finding]:
    groups, rungs = evidence.index.groups, evidence.rungs
    known = np.isfinite(rungs)
    if known.sum() < 20:
        return
    latest = groups["step"] >= np.quantile(groups["step"], 0.6)
    silent = []
    for rung in np.unique(rungs[known]):
        here = latest & (rungs == rung)
        if here.sum() >= 5 and groups["correct"][here].sum() == 0:
            silent.append(f"{rung:g}")
    if silent:
        text = (
            f"In the last two fifths of the run no completion on rung {', '.join(silent)} was "
            "right. Such groups have no signal: the climb is too fast, or gold answers are wrong."
        )
        yield Finding(tone="serious", title="Rungs where everything is wrong", text=text)


def _mismatch(evidence: Evidence) -> Iterator[Finding]:
    both = evidence.early_late("mismatch/kl")
    if both and both[1] > 0.01:
        text = (
            f"mismatch/kl is {both[1]:.3g} nats a token in the last fifth of the steps. Sampler "
            "and trainer should agree to rounding: look for a difference in temperature, precision "
            "or prompt."
        )
        yield Finding(tone="warning", title="Sampler and trainer disagree", text=text)


def _skipped(evidence: Evidence) -> Iterator[Finding]:
    skipped = evidence.metrics.values("skipped_steps")
    if skipped and skipped[-1][1] > 0:
        text = f"{skipped[-1][1]:.0f} steps were skipped because loss or gradient was not finite. "
        text += "A lower learning rate or a wider number format would help."
        yield Finding(tone="warning", title="Steps were skipped", text=text)


def _entropy(evidence: Evidence) -> Iterator[Finding]:
    both = evidence.early_late("entropy")
    if both and both[0] > 0 and both[1] < 0.12 * both[0]:
        text = (
            f"Entropy fell from {both[0]:.3g} to {both[1]:.3g}: completions of a group grow alike, "
        )
        text += "and soon nothing is left to compare."
        yield Finding(tone="warning", title="Entropy collapsed", text=text)


def _repetition(evidence: Evidence) -> Iterator[Finding]:
    if evidence.parts is None:
        return
    early, late = evidence.parts
    if late.repeated > 0.3 and late.repeated > early.repeated + 0.1:
        text = f"In {late.num_texts} completions read from the last fifth of the run, "
        text += f"{_percent(late.repeated)} of six-word runs occur more than once "
        text += f"({_percent(early.repeated)} at the start)."
        yield Finding(tone="warning", title="Completions repeat themselves", text=text)


def _one_answer(evidence: Evidence) -> Iterator[Finding]:
    if evidence.parts is None:
        return
    late = evidence.parts[1]
    too_common = late.common_share > 0.5 and late.common_share > late.common_golds + 0.25
    if late.num_questions >= 8 and too_common:
        answer = rows.shorten(late.common_answer, 60)[0]
        text = f"“{answer}” is given in {_percent(late.common_share)} of the latest completions, "
        text += f"but is right for {_percent(late.common_golds)} of their questions."
        yield Finding(tone="serious", title="One answer everywhere", text=text)


def _empty(evidence: Evidence) -> Iterator[Finding]:
    if evidence.parts and evidence.parts[1].empty > 0.05:
        text = f"{_percent(evidence.parts[1].empty)} of the latest completions hold no text at all."
        yield Finding(tone="serious", title="Empty completions", text=text)


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 or share <= 0 else 1}f} %"


def _points(change: float) -> str:
    return f"{100 * change:+.1f}".replace("-", "−")


CHECKS: dict[str, Callable[[Evidence], Iterator[Finding]]] = {
    "numbers that are not finite": _not_finite,
    "accuracy over the run": _accuracy,
    "the same questions early and late": _asked_again,
    "reward without accuracy": _reward_without_accuracy,
    "rewards that are saturated or never earned": _saturated,
    "groups without signal": _zero_signal,
    "length": _length,
    "completions cut off": _truncated,
    "rungs where everything is wrong": _all_wrong_rungs,
    "sampler against trainer": _mismatch,
    "skipped steps": _skipped,
    "entropy": _entropy,
    "repetition": _repetition,
    "one answer everywhere": _one_answer,
    "empty completions": _empty,
}
"""What is looked at, and the function that looks."""
