"""The value of a reward for one attempt, its inner parts kept, its failures explained."""

import math

from observe_r1.errors import ObserveError, TrainingError
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig
from observe_r1.user_code import line_of


def evaluate(reward: RewardConfig, attempt: Attempt, parts: dict[str, float]) -> float:
    """The weighted value of a reward; ``parts`` receives what is inside it, by dotted name."""
    return _evaluate(reward, attempt, parts, reward.label)


def _evaluate(reward: RewardConfig, attempt: Attempt, parts: dict[str, float], path: str) -> float:
    values = []
    for part in reward.inner(attempt):
        inner_path = f"{path}.{part.label}"
        parts[inner_path] = _evaluate(part, attempt, parts, inner_path)
        values.append(parts[inner_path])
    return reward.weight * _guarded(reward, tuple(values), attempt, path)


def _guarded(reward: RewardConfig, values: tuple[float, ...], attempt: Attempt, path: str) -> float:
    """The raw value; whatever goes wrong stops the run and shows the sample that caused it."""
    try:
        value = float(reward.combine(values, attempt))
    except ObserveError as error:
        raise type(error)(f"{_where(path, attempt)}: {error}") from error
    except Exception as error:  # a reward may be the user's code: whatever it raises has a sample
        raise TrainingError(
            f"{_where(path, attempt)} raised {type(error).__name__}: {error}{line_of(error)}. A "
            "reward must return a number for every completion; fix it and resume."
        ) from error
    if not math.isfinite(value):
        raise TrainingError(
            f"{_where(path, attempt)} returned {value}. A reward must be a finite number."
        )
    return value


def _where(path: str, attempt: Attempt) -> str:
    return (
        f"reward '{path}' on sample '{attempt.sample.id}', step {attempt.step}, completion "
        f"{attempt.index} ({attempt.text[:120]!r})"
    )
