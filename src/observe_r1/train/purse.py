"""How many tokens a run may still generate and update on: what makes comparisons fair.

    budget of the run ──less what earlier stages cost──▶ purse of this stage ──step by step──▶ empty

A training stage ends with the step that empties its purse. What was spent is read from the metrics
on disk, so a run that is stopped and resumed ends where it would have ended. Rollouts drawn ahead
(``staleness``) are counted with the step that trains on them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.run import Budget
from observe_r1.errors import ConfigError
from observe_r1.records import read_rows

GENERATED, UPDATED = "tokens/generated", "tokens/computed"
METRICS = "metrics.jsonl"


@dataclass(slots=True)
class Purse:
    """Tokens that are left.

    Example:
        purse = Purse(generated=20_000, updated=math.inf)
    """

    generated: float = math.inf
    updated: float = math.inf

    def spend(self, metrics: Mapping[str, Any]) -> None:
        """Take what one step cost."""
        self.generated -= metrics.get(GENERATED, 0.0)
        self.updated -= metrics.get(UPDATED, 0.0)

    def spend_rows(self, folder: Path) -> None:
        """Take what all steps of a stage cost that are on disk."""
        path = folder / METRICS
        for row in read_rows(path) if path.exists() else ():
            self.spend(row)

    @property
    def is_empty(self) -> bool:
        return self.generated <= 0 or self.updated <= 0


def fill_purse(budget: Budget, earlier: Mapping[str, Path], stage: str) -> Purse:
    """What the stages before, by name and folder, have left of a run's budget for a stage."""
    purse = Purse(budget.generated or math.inf, budget.updated or math.inf)
    for folder in earlier.values():
        purse.spend_rows(folder)
    if purse.is_empty:
        what = "generated" if purse.generated <= 0 else "updated on"
        raise ConfigError(
            f"the budget of tokens {what} is spent before stage '{stage}' begins: "
            f"{', '.join(earlier)} took all of it. Raise budget.{what.split()[0]}, or shorten them."
        )
    return purse
