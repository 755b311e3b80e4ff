"""Rewards that no longer teach: saturated, stuck, or rising while accuracy stays at nothing.

Fed with every step's scored groups; says in plain words what it finds, once per finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from observe_r1.types import ScoredGroup

SAME = 1e-9
DEFAULT_PATIENCE = 20


@dataclass(slots=True)
class _Streak:
    """How long one reward has had the same value everywhere."""

    value: float | None = None
    steps: int = 0
    best: float = float("-inf")
    """The highest value ever seen: a reward that rests there is saturated, elsewhere stuck."""
    is_reported: bool = False


class RewardHealth:
    """Watches each reward by name; ``patience`` steps of one value everywhere are a finding.

    Example:
        health.observe(scored_P) → ["reward 'format' has been 0.5 for every completion of the last
        20 steps: it is saturated and no longer teaches. …"]
    """

    def __init__(self, patience: int = DEFAULT_PATIENCE):
        self.patience = patience
        self._streaks: dict[str, _Streak] = {}
        self._accuracy = _Streak()

    def observe(self, scored_P: Sequence[ScoredGroup]) -> list[str]:
        """Take in one step; return what there is to say about it, mostly nothing."""
        findings = []
        for name, values in _by_name(scored_P).items():
            streak = self._streaks.setdefault(name, _Streak())
            if self._extend(streak, values):
                findings.append(self._describe(name, streak))
        correct = [float(score.correct) for group in scored_P for score in group.scores_G]
        if correct and self._extend(self._accuracy, correct):
            findings.append(self._describe_accuracy())
        return findings

    def _extend(self, streak: _Streak, values: list[float]) -> bool:
        """Lengthen or break the streak; True when it has just become a finding."""
        low, high = min(values), max(values)
        streak.best = max(streak.best, high)
        if high - low > SAME:
            streak.value, streak.steps, streak.is_reported = None, 0, False
            return False
        if streak.value is None or abs(high - streak.value) > SAME:
            streak.value, streak.steps, streak.is_reported = high, 0, False
        streak.steps += 1
        if streak.steps < self.patience or streak.is_reported:
            return False
        streak.is_reported = True
        return True

    def _describe(self, name: str, streak: _Streak) -> str:
        assert streak.value is not None
        state, advice = "stuck", "The model never reaches it: check the prompt and the grammar."
        if streak.value >= streak.best - SAME and streak.value > SAME:
            state, advice = "saturated", "Its weight can go down without loss."
        return (
            f"reward '{name}' has been {streak.value:g} for every completion of the last "
            f"{streak.steps} steps: it is {state} and no longer teaches. {advice}"
        )

    def _describe_accuracy(self) -> str:
        value, steps = self._accuracy.value, self._accuracy.steps
        if value:
            return (
                f"every completion of the last {steps} steps was correct: the questions are too "
                "easy to teach anything. Use harder ones."
            )
        rising = [name for name, streak in self._streaks.items() if self._is_paid(streak)]
        tail = f" Meanwhile {', '.join(sorted(rising))} pays in full." if rising else ""
        return (
            f"no completion of the last {steps} steps was correct: nothing is learnt about the "
            f"answers.{tail} Use easier questions, or look at the rollouts for answers the grader "
            "cannot read."
        )

    def _is_paid(self, streak: _Streak) -> bool:
        return streak.value is not None and streak.value > SAME

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on after a resume; JSON values."""
        return {
            "patience": self.patience,
            "accuracy": _pack(self._accuracy),
            "streaks": {name: _pack(streak) for name, streak in self._streaks.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.patience = state["patience"]
        self._accuracy = _unpack(state["accuracy"])
        self._streaks = {name: _unpack(row) for name, row in state["streaks"].items()}


def _by_name(scored_P: Sequence[ScoredGroup]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for group in scored_P:
        for score in group.scores_G:
            for name, value in score.rewards.items():
                values.setdefault(name, []).append(value)
    return values


def _pack(streak: _Streak) -> dict[str, Any]:
    best = None if streak.best == float("-inf") else streak.best
    return {
        "value": streak.value,
        "steps": streak.steps,
        "best": best,
        "is_reported": streak.is_reported,
    }


def _unpack(row: dict[str, Any]) -> _Streak:
    best = float("-inf") if row["best"] is None else row["best"]
    return _Streak(row["value"], row["steps"], best, row["is_reported"])
