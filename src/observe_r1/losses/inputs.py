"""One record in, one record out. ``N`` counts completion tokens, whichever rows they were in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Denominators:
    """What a mean over the whole batch of an update is divided by. Groups without signal count,
    though they are not computed: leaving them out changes time, never the gradient."""

    num_tokens: float
    """Tokens of all counted completions, each times its completion weight."""
    num_completions: float
    """Sum of all completion weights."""
    max_new_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossInputs:
    """Everything a loss may read about the tokens of one micro-batch.

    Example (two completions, of two tokens and one):
        logprobs_N [-0.1, -2.3, -0.7]   completion_N [0, 0, 1]   advantages_N [1.2, 1.2, -1.2]
    """

    logprobs_N: Tensor
    """With gradient."""
    old_logprobs_N: Tensor | None
    """From before the first update on this rollout; None: these are the very same weights."""
    advantages_N: Tensor
    coefficients_N: Tensor
    """Share of each token in the mean, completion weight included; see ``reduce``."""
    completion_N: Tensor
    """Number of the completion a token belongs to, from 0 in this micro-batch."""
    entropy_N: Tensor
    sampler_logprobs_N: Tensor | None = None
    """What the sampler said; only for the truncated importance weight."""
    reference_N: Tensor | None = None
    """Log-probs of the model training started from; None without a KL term."""

    @property
    def before_N(self) -> Tensor:
        """Log-probs of the trainer's weights as they were when the update began."""
        return self.logprobs_N.detach() if self.old_logprobs_N is None else self.old_logprobs_N

    @property
    def log_ratio_N(self) -> Tensor:
        """log π/π_old. Strictly on policy it is zero with the right gradient."""
        return self.logprobs_N - self.before_N

    def importance_N(self, cap: float | None) -> Tensor | float:
        """min(π_trainer / π_sampler, cap) of the weights the rollout was sampled with."""
        if cap is None or self.sampler_logprobs_N is None:
            return 1.0
        return (self.before_N - self.sampler_logprobs_N).exp().clamp(max=cap)


@dataclass(frozen=True, slots=True)
class Stat:
    """A mean that can be added up over micro-batches and processes. The sum stays on its device
    until it is read: a GPU that is asked for a number must first do all it was told to."""

    total: Tensor | float
    count: float

    @classmethod
    def mean(cls, values: Tensor) -> Self:
        return cls(values.detach().sum().double(), values.numel())

    def __add__(self, other: "Stat") -> "Stat":
        return Stat(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float:
        return float(self.total) / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossOutput:
    """What to call ``backward`` on, and what to report."""

    loss: Tensor
    stats: Mapping[str, Stat]


def sum_by_completion(values_N: Tensor, completion_N: Tensor) -> Tensor:
    """[C] sums over the tokens of each completion."""
    num_completions = int(completion_N.max()) + 1 if len(completion_N) else 0
    return torch.zeros(num_completions, dtype=values_N.dtype, device=values_N.device).index_add(
        0, completion_N, values_N
    )
