"""RolloutGroup → ScoredGroup: every part kept by name.

Correctness and well-formedness always come from the grader and the grammar, whatever rewards a
recipe uses: solve rates must not bend with them.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pydantic import model_validator

from observe_r1.config_base import Config
from observe_r1.errors import ConfigError
from observe_r1.grading import Extract, grade
from observe_r1.rewards.accuracy import Accuracy
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.bonus import AnyBonus
from observe_r1.rewards.evaluate import evaluate
from observe_r1.rewards.format import Format
from observe_r1.rewards.table import Reward
from observe_r1.text import get_grammar, parse_response
from observe_r1.types import RolloutGroup, Score, ScoredGroup

MAX_WAITING = 16
"""Requests to a judge that are under way at once."""


class Scoring(Config):
    """How completions are read, graded and rewarded."""

    grammar: str = "think_answer"
    """The response structure asked for: a name in ``observe_r1.text.GRAMMARS``."""
    extract: Extract = "tagged"
    """Where the answer stands: "tagged", "boxed" or "plain"."""
    rewards: tuple[Reward, ...] = (Accuracy(), Format(weight=0.5))
    """The rewards that are summed; each is kept by name."""
    bonus: AnyBonus | None = None
    """Extra reward of the shortest correct completion of the group; none by default."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "Scoring":
        try:
            get_grammar(self.grammar)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if not self.rewards:
            raise ValueError("rewards is empty, so nothing could be learnt. Name at least one.")
        names = [reward.label for reward in self.rewards]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rewards are called '{name}'. Give one a name of its own.")
            if name == "bonus":
                raise ValueError("a reward may not be called 'bonus'. Choose another name.")
        return self


def score_group(rollout: RolloutGroup, scoring: Scoring, step: int = 0) -> ScoredGroup:
    """Score every completion of a group, then give out the group's bonus."""
    scores_G = _scores(rollout, scoring, step)
    return give_bonus(ScoredGroup(rollout=rollout, scores_G=tuple(scores_G)), scoring)


def give_bonus(group: ScoredGroup, scoring: Scoring) -> ScoredGroup:
    """The group with its bonus; for completions that were scored one by one."""
    if scoring.bonus is None:
        return group
    after = scoring.bonus.when == "after"
    bonus_G = scoring.bonus.amounts(group.rollout.completions_G, group.scores_G)
    scores_G = tuple(
        replace(score, bonus=bonus, reward=score.reward + bonus, bonus_after=after)
        for score, bonus in zip(group.scores_G, bonus_G, strict=True)
    )
    return replace(group, scores_G=scores_G)


def _scores(rollout: RolloutGroup, scoring: Scoring, step: int) -> list[Score]:
    """One score a completion; those that wait for a judge wait together."""
    indices = range(rollout.num_completions)
    if not any(reward.waits for reward in scoring.rewards):
        return [_score(rollout, index, scoring, step) for index in indices]
    with ThreadPoolExecutor(max_workers=MAX_WAITING) as threads:
        return list(threads.map(lambda index: _score(rollout, index, scoring, step), indices))


def read_attempt(rollout: RolloutGroup, index: int, scoring: Scoring, step: int) -> Attempt:
    """Read and grade one completion."""
    sample, completion = rollout.sample, rollout.completions_G[index]
    return Attempt(
        sample=sample,
        completion=completion,
        response=parse_response(completion.text, scoring.grammar),
        grade=grade(
            completion.text,
            sample.answer,
            kind=sample.kind,
            options=sample.options or None,
            extract=scoring.extract,
        ),
        index=index,
        step=step,
        grammar=scoring.grammar,
    )


def _score(rollout: RolloutGroup, index: int, scoring: Scoring, step: int) -> Score:
    attempt = read_attempt(rollout, index, scoring, step)
    parts: dict[str, float] = {}
    rewards = {reward.label: evaluate(reward, attempt, parts) for reward in scoring.rewards}
    return Score(
        rewards=rewards,
        parts=parts,
        reward=sum(rewards.values()),
        correct=attempt.correct,
        well_formed=attempt.well_formed,
        answer=attempt.grade.answer,
    )
