"""The running solve rate of every sample: the probe's word at first, then what training shows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

PROBE_ROLLOUTS = 8
"""How many rollouts the stored solve rate counts for."""


class SolveRates:
    """Correct and total rollouts of each sample, older ones counting less.

    Before each update both counts are multiplied by ``decay``, so the estimate follows the policy:
    with 8 rollouts a group and decay 0.9 the last ten groups carry two thirds of the weight.
    """

    def __init__(self, probed: np.ndarray, decay: float) -> None:
        known = ~np.isnan(probed)
        self.decay = decay
        self.total = np.where(known, float(PROBE_ROLLOUTS), 0.0)
        self.correct = np.where(known, probed * PROBE_ROLLOUTS, 0.0)
        self._seen: set[int] = set()

    @property
    def num_seen(self) -> int:
        """Samples observed at least once."""
        return len(self._seen)

    def update(self, index: int, correct: int, total: int) -> None:
        self.correct[index] = self.decay * self.correct[index] + correct
        self.total[index] = self.decay * self.total[index] + total
        self._seen.add(index)

    def rate(self, index: int) -> float:
        """Share correct; 0.5 while nothing is known."""
        return float(self.correct[index] / self.total[index]) if self.total[index] else 0.5

    def rates(self) -> np.ndarray:
        """``rate`` of all samples."""
        half = np.full(len(self.total), 0.5)
        return np.divide(self.correct, self.total, out=half, where=self.total > 0)

    def state_dict(self) -> dict[str, Any]:
        """Only what was observed: the rest follows from the samples."""
        seen = sorted(self._seen)
        return {"index": seen, "correct": self.correct[seen].tolist(),
                "total": self.total[seen].tolist()}  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._seen = set(state["index"])
        self.correct[state["index"]] = state["correct"]
        self.total[state["index"]] = state["total"]
