"""Every metric of a step: its kind, unit and meaning, in one table that also makes the docs page.

Two equal runs have equal metrics, except those of kind ``timing`` and ``memory``.
"""

import re
from dataclasses import dataclass
from typing import Literal


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
    Metric("loss", "nats", "the loss, summed over the updates of the step"),
    Metric("entropy", "nats", "mean entropy of the distributions of tokens trained on"),
    Metric("kl", "nats", "mean KL estimate to the reference model, a token that is trained on"),
    Metric("clip_low", "share", "share of tokens trained on whose gradient the lower clip removes"),
    Metric(
        "clip_high", "share", "share of tokens trained on whose gradient the upper clip removes"
    ),
    Metric("ratio", "factor", "mean importance ratio of tokens trained on"),
    Metric(
        "mismatch/logprob",
        "nats",
        "mean |log-prob difference| of trainer and sampler, of tokens trained on",
    ),
    Metric("mismatch/kl", "nats", "k3 estimate of KL(sampler || trainer), of tokens trained on"),
    Metric("staleness", "updates", "mean age of the groups: updates since their weights"),
    Metric("grad_norm", "norm", "gradient norm of the last update, before clipping"),
    Metric("lr", "rate", "learning rate of the last update"),
    Metric("silent_steps", "steps", "steps so far in which no group had a signal"),
    Metric(
        "skipped_steps", "steps", "steps so far in which no update was finite, loss and gradient"
    ),
    Metric("tokens/generated", "tokens", "completion tokens drawn"),
    Metric("tokens/computed", "tokens", "tokens of the update's forward passes"),
    Metric("tokens/unique", "tokens", "the same, each prompt counted once a group"),
    Metric("curriculum/samples_seen", "questions", "asked at least once so far"),
    Metric("curriculum/epoch", "passes", "times the questions have been gone through before"),
    Metric("curriculum/position", "questions", "drawn of the present pass"),
    Metric("curriculum/level", "level", "difficulty of the question drawn last, 0 the easiest"),
    Metric("curriculum/rung", "name", "rung that questions are drawn from"),
    Metric("curriculum/rung_solve_rate", "share", "mean solve rate of the rung's last groups"),
    Metric("curriculum/moves", "moves", "times the rung has changed"),
    Metric("curriculum/phase", "phase", "which phase it is in, from 0"),
    Metric("curriculum/pool_*", "questions", "in this pool, 0 the easiest"),
    Metric("curriculum/*", "its own", "what a curriculum of one's own reports"),
    Metric("token_accuracy", "share", "learnt tokens that were the model's likeliest (sft, dpo)"),
    Metric("preference/accuracy", "share", "pairs whose chosen trace gained on the rejected (dpo)"),
    Metric("preference/*", "nats", "beta x gain in log-prob over the reference (dpo)"),
    Metric("logprob/*", "nats", "mean log-prob of the learnt tokens of a trace (dpo)"),
    Metric("traces/*", "traces", "traces written and kept (teach)"),
    Metric(
        "params/*", "norm", "norm of all weights before and after, and of their change (params)"
    ),
    Metric("judge/*", "share", "how well the judge tells held-out texts apart (judge)"),
    Metric("eval/loss/*", "nats", "mean loss of a token of validation traces (sft)"),
    Metric("eval/*", "share", "measured on held-out questions"),
    Metric(
        "timing/wait",
        "seconds",
        "waited for rollouts drawn beside the update (staleness with vllm_server), whose generate "
        "and score are counted in the step that began them, and overlap its optimise",
        "timing",
    ),
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


def as_markdown() -> str:
    """The page ``docs/metrics.md``."""
    rows = [f"| `{m.name}` | {m.unit or '–'} | {m.kind} | {m.meaning} |" for m in METRICS]
    return "\n".join([*_HEAD, *rows, ""])


_HEAD = (
    "# Metrics",
    "",
    "Every number in `metrics.jsonl`, a row a step. Means are over everything drawn in the step,",
    "rejected groups included, unless the meaning says otherwise. Tokens trained on are those of",
    "groups with a signal (with KL or entropy in the loss, of all admitted ones), over all updates",
    "of the step. Two equal runs agree on every metric whose kind is `value`, to the",
    "bit. This page is made by `scripts/make_metrics_doc.py`.",
    "",
    "| metric | unit | kind | meaning |",
    "| --- | --- | --- | --- |",
)
