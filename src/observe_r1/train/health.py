"""When training must stop and say why: no signal for too long, or numbers that are not finite."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from observe_r1.errors import TrainingError
from observe_r1.types import ScoredGroup

MAX_SILENT_STEPS = 50
MAX_NONFINITE_STEPS = 5


@dataclass(slots=True)
class Health:
    """Streaks of steps that did nothing. Part of the checkpoint."""

    silent_steps: int = 0
    """Steps in a row in which no group had a signal."""
    nonfinite_steps: int = 0
    """Steps in a row in which no update had a finite loss and gradient."""
    total_silent: int = 0
    total_nonfinite: int = 0

    def observe(self, scored_P: Sequence[ScoredGroup], *, had_signal: bool, finite: bool) -> None:
        self.silent_steps = 0 if had_signal else self.silent_steps + 1
        self.nonfinite_steps = 0 if finite else self.nonfinite_steps + 1
        self.total_silent += not had_signal
        self.total_nonfinite += not finite
        if self.silent_steps >= MAX_SILENT_STEPS:
            raise TrainingError(_no_signal_message(self.silent_steps, scored_P))
        if self.nonfinite_steps >= MAX_NONFINITE_STEPS:
            raise TrainingError(
                f"Loss or gradient was not finite in {self.nonfinite_steps} steps in a row; none "
                "of them moved the weights. Lower optimizer.lr, train in float32 or bfloat16, or "
                "start from the last checkpoint with another seed."
            )


def _no_signal_message(num_steps: int, scored_P: Sequence[ScoredGroup]) -> str:
    rates = Counter(round(group.solve_rate, 2) for group in scored_P)
    histogram = ", ".join(f"{rate:g}: {count}" for rate, count in sorted(rates.items()))
    rewards = Counter(round(s.reward, 2) for g in scored_P for s in g.scores_G)
    seen = ", ".join(f"{reward:g}: {count}" for reward, count in sorted(rewards.items())[:12])
    return (
        f"No group had a training signal in {num_steps} steps in a row: within every group all "
        f"completions were worth the same.\n  solve rates of the last step: {histogram}\n  rewards "
        f"of the last step: {seen}\nQuestions that are always or never solved teach nothing: "
        "choose data nearer to what the model can do (observe-r1 data ladder), raise group_size or "
        "sampling.temperature, or check that the grammar fits what the model writes."
    )
