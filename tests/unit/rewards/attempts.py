"""Attempts and groups made from a text."""

from collections.abc import Sequence
from typing import Any

from observe_r1.rewards import Attempt, Scoring, score_group
from observe_r1.rewards.score import read_attempt
from observe_r1.types import Completion, RolloutGroup, Sample, ScoredGroup

RIGHT = "<think>two and one</think><answer>3</answer>"
WRONG = "<think>two and two</think><answer>4</answer>"


def sample(**settings: Any) -> Sample:
    values = {"id": "counting-7", "question": "How many?", "answer": "3", "kind": "number"}
    return Sample(**{**values, **settings})


def rollout(
    texts: Sequence[str], lengths: Sequence[int] | None = None, **settings: Any
) -> RolloutGroup:
    lengths = lengths or [10] * len(texts)
    completions = tuple(
        Completion(text=text, token_ids=(0,) * length)
        for text, length in zip(texts, lengths, strict=True)
    )
    return RolloutGroup(sample=sample(**settings), completions_G=completions)


def attempt(
    text: str = RIGHT,
    *,
    num_tokens: int = 10,
    step: int = 0,
    grammar: str = "think_answer",
    **settings: Any,
) -> Attempt:
    group = rollout([text], [num_tokens], **settings)
    return read_attempt(group, 0, Scoring(grammar=grammar), step)


def scored(texts: Sequence[str], scoring: Scoring | None = None, **settings: Any) -> ScoredGroup:
    return score_group(rollout(texts, **settings), scoring or Scoring())
