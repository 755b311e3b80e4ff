"""What the updates of one step did."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from observe_r1.losses import Stat


@dataclass(slots=True)
class Outcome:
    """Sums over micro-batches, updates and processes.

    Example:
        outcome = Outcome(had_signal=True)
        outcome.include(of_the_first_update)
    """

    stats: dict[str, Stat] = field(default_factory=dict)
    loss: Tensor | float = 0.0
    grad_norm: float = 0.0
    lr: float = 0.0
    had_signal: bool = False
    num_made: int = 0
    """Updates that moved the weights."""
    num_skipped: int = 0
    """Updates whose loss or gradient was not finite."""
    tokens_computed: int = 0
    """Packed tokens of the update's forward passes, prompts repeated by splitting included."""
    tokens_unique: int = 0
    """The same without any repetition."""
    notes: list[str] = field(default_factory=list)

    @property
    def finite(self) -> bool:
        """Whether the step has moved the weights, if there was anything to move them."""
        return self.num_made > 0 or self.num_skipped == 0

    def add(self, stats: dict[str, Stat]) -> None:
        for name, stat in stats.items():
            self.stats[name] = self.stats[name] + stat if name in self.stats else stat

    def settle(self) -> None:
        """Read what is still on a device, all of it at once."""
        names = list(self.stats)
        totals = [torch.as_tensor(self.stats[n].total, dtype=torch.float64) for n in names]
        values = torch.stack([torch.as_tensor(self.loss, dtype=torch.float64), *totals]).tolist()
        self.loss = values[0]
        for name, total in zip(names, values[1:], strict=True):
            self.stats[name] = Stat(total, self.stats[name].count)

    def include(self, other: "Outcome") -> None:
        """Add up what another update, or another process, has computed."""
        self.add(other.stats)
        self.loss += other.loss
        self.tokens_computed += other.tokens_computed
        self.tokens_unique += other.tokens_unique
        self.notes += other.notes


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """What all processes did together; norms, rates and counts of updates are the same on all."""
    merged = outcomes[0]
    for other in outcomes[1:]:
        merged.include(other)
    return merged
