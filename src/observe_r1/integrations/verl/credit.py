"""What happens to a group: scores that were given one by one become advantages.

    attempts ─group by prompt─▶ ScoredGroup + bonus ─weigh_groups─▶ WeightedGroup ─▶ Credit a row

verl scores completions one at a time, in other processes, and its advantage estimators see rewards
only. So the worker sends every part of a score along (``score_facts``), and the driver puts the
groups together again. Free of verl and torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observe_r1.config.stages import RLStage
from observe_r1.errors import TrainingError
from observe_r1.rewards import give_bonus
from observe_r1.types import Completion, RolloutGroup, Sample, Score, ScoredGroup, WeightedGroup
from observe_r1.weighting import weigh_groups

REWARD = "reward/"
"""Before the name of each reward among the facts of a score."""

Facts = dict[str, float | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedCompletion(Completion):
    """A completion whose text and tokens stayed with the worker that scored it."""

    length: int

    @property
    def num_tokens(self) -> int:
        return self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """One completion as it reaches the driver.

    Example:
        Attempted(key="8f2c_3_0", sample=sample, facts={"acc": 1.0, "format": 1.0, "score": 1.0,
                  "reward/accuracy": 1.0, "num_tokens": 143.0, "truncated": 0.0, "pred": "7"})
    """

    key: str
    """Names the row in verl's storage: prompt, place in its group, output of that place."""
    sample: Sample
    facts: Mapping[str, Any]

    @property
    def group(self) -> str:
        return self.key.split("_")[0]

    @property
    def place(self) -> int:
        return int(self.key.split("_")[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What one completion is worth.

    Example:
        Credit(advantage=1.8, reward=1.7, counts=True, num_tokens=143)
    """

    advantage: float
    """Group weight included."""
    reward: float
    """The total, bonus included."""
    counts: bool
    """False: left out of the loss and of its denominators."""
    num_tokens: int


def score_facts(score: Score, completion: Completion) -> Facts:
    """Everything of a score that the driver and verl's validation need, as plain values."""
    return {
        "acc": float(score.correct),
        "format": float(score.well_formed),
        "score": score.reward,
        "num_tokens": float(completion.num_tokens),
        "truncated": float(completion.truncated),
        "pred": (score.answer or "")[:200],
        **{REWARD + name: value for name, value in score.rewards.items()},
    }


def scored_groups(attempts: Iterable[Attempted], stage: RLStage, step: int) -> list[ScoredGroup]:
    """The groups in the order in which they first occur, each with its bonus."""
    return [_scored(members, stage, step) for members in by_group(attempts).values()]


def by_group(attempts: Iterable[Attempted]) -> dict[str, list[Attempted]]:
    """The completions of each prompt, in their order within the group."""
    groups: dict[str, list[Attempted]] = {}
    for attempt in attempts:
        if problem := attempt.facts.get("error"):
            raise TrainingError(str(problem))
        groups.setdefault(attempt.group, []).append(attempt)
    for members in groups.values():
        members.sort(key=lambda attempt: attempt.place)
    return groups


def _scored(members: Sequence[Attempted], stage: RLStage, step: int) -> ScoredGroup:
    completions = tuple(_completion(member.facts) for member in members)
    rollout = RolloutGroup(sample=members[0].sample, completions_G=completions, step=step)
    scores = tuple(_score(member.facts) for member in members)
    return give_bonus(ScoredGroup(rollout=rollout, scores_G=scores), stage)


def _completion(facts: Mapping[str, Any]) -> CountedCompletion:
    return CountedCompletion(
        text="", length=int(facts["num_tokens"]), truncated=bool(facts["truncated"])
    )


def _score(facts: Mapping[str, Any]) -> Score:
    return Score(
        rewards={k.removeprefix(REWARD): v for k, v in facts.items() if k.startswith(REWARD)},
        reward=facts["score"],
        correct=bool(facts["acc"]),
        well_formed=bool(facts["format"]),
        answer=facts["pred"] or None,
    )


def give_credit(
    attempts: Sequence[Attempted], stage: RLStage, step: int
) -> tuple[dict[str, Credit], list[WeightedGroup]]:
    """Credit of every row of a batch by its key, and the groups it was worked out from."""
    groups = by_group(attempts)
    weighted = weigh_groups(scored_groups(attempts, stage, step), stage)
    credits = {
        member.key: _credit(group, place)
        for members, group in zip(groups.values(), weighted, strict=True)
        for place, member in enumerate(members)
    }
    return credits, weighted


def _credit(group: WeightedGroup, place: int) -> Credit:
    return Credit(
        advantage=group.advantages_G[place],
        reward=group.scored.scores_G[place].reward,
        counts=group.admitted and group.completion_weights_G[place] > 0.0,
        num_tokens=group.scored.rollout.completions_G[place].num_tokens,
    )


def batch_metrics(weighted: Sequence[WeightedGroup]) -> dict[str, float]:
    """Means over a batch, by the names they have in verl's logs."""
    groups = [group.scored for group in weighted]
    scores = [score for group in groups for score in group.scores_G]
    admitted = [group for group in weighted if group.admitted]
    values = {
        "accuracy": [float(score.correct) for score in scores],
        "format": [float(score.well_formed) for score in scores],
        "reward": [score.reward for score in scores],
        "bonus": [score.bonus for score in scores],
        "admitted": [float(group.admitted) for group in weighted],
        "mixed": [float(0.0 < group.solve_rate < 1.0) for group in groups],
        "weight": [group.weight for group in admitted],
    }
    for name in scores[0].rewards if scores else ():
        values[f"reward_{name}"] = [score.rewards[name] for score in scores]
    return {f"observe_r1/{name}": sum(v) / len(v) for name, v in values.items() if v}
