"""How many tokens a micro-batch holds: what was asked for, halved once where memory runs out."""

from collections.abc import Sequence
from typing import Any

from observe_r1.errors import TrainingError
from observe_r1.train.distribute import Processes
from observe_r1.train.rows import CreditRow


class Budget:
    """Part of the checkpoint: what did not fit before does not fit after a resume.

    Example:
        budget = Budget(8192)
        budget.halve(rows)      # "Out of memory: micro-batches now hold 4096 tokens instead of …"
    """

    def __init__(self, asked: int, *, sharded: bool = False) -> None:
        self.asked = asked
        self.tokens = asked
        self.sharded = sharded

    @property
    def of_a_pass(self) -> int:
        """Sharded models take one row a pass: every process must make as many passes."""
        return 1 if self.sharded else self.tokens

    def agree(self, processes: Processes) -> None:
        """One that ran out of memory has halved it; all must cut the same rows to share them
        out."""
        self.tokens = min(processes.gather_objects(self.tokens))

    def cut(self, rows: Sequence[CreditRow]) -> list[CreditRow]:
        """The same rows within the budget, or within what their longest completion alone needs."""
        return [part for row in rows for part in row.split(max(self.tokens, longest([row])))]

    def halve(self, rows: Sequence[CreditRow]) -> str:
        """Or as far as the longest completion of the rows allows; says so. Sharded models cannot,
        and none can twice."""
        if self.sharded or self.tokens < self.asked:
            raise TrainingError(self._too_much())
        less = max(self.tokens // 2, longest(rows))
        if less >= self.tokens:
            raise TrainingError(self._too_much())
        self.tokens = less
        return f"Out of memory: micro-batches now hold {less} tokens instead of {self.asked}."

    def _too_much(self) -> str:
        how = ", one row in each" if self.sharded else ""
        halved = ", already halved once" if self.tokens < self.asked else ""
        return (
            f"Out of memory with micro-batches of {self.tokens} tokens{how}{halved}. Lower "
            "policy.max_tokens_per_microbatch or sampling.max_new_tokens, switch on "
            "policy.gradient_checkpointing, or train adapters (policy.lora)."
        )

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self.asked, "tokens": self.tokens}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """A run that is resumed with another budget begins with that one."""
        if state["asked"] == self.asked:
            self.tokens = state["tokens"]


def longest(rows: Sequence[CreditRow]) -> int:
    """Tokens of the longest row with a single completion."""
    return max(r.row.prompt.length + max(r.row.lengths_G) - 1 for r in rows)
