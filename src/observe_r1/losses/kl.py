"""Estimators of KL(π || π_ref) from one sample a token (Schulman, "Approximating KL divergence").

With r = log π - log π_ref at a token drawn from π: k1 = r is unbiased but noisy, k2 = r²/2 biased
and calm, k3 = exp(-r) - 1 + r unbiased and never negative.
"""

from dataclasses import replace
from typing import Literal

from torch import Tensor

from observe_r1.config.loss import KL
from observe_r1.losses.inputs import LossInputs, sum_by_completion


def kl_estimate(
    logprobs: Tensor, reference: Tensor, estimator: Literal["k1", "k2", "k3"]
) -> Tensor:
    r = logprobs - reference
    match estimator:
        case "k1":
            return r
        case "k2":
            return r.square() / 2
        case "k3":
            return (-r).exp() - 1 + r


def take_kl_from_advantages(inputs: LossInputs, kl: KL) -> LossInputs:
    """KL as a cost inside the reward: a token answers for its own KL and all that comes after it,
    A_t - β·Σ_{s ≥ t} KL_s, measured on the weights the rollout was sampled with."""
    assert inputs.reference_N is not None  # asked for by whoever has one
    cost_N = kl_estimate(inputs.before_N, inputs.reference_N, kl.estimator)
    up_to_end = sum_by_completion(cost_N, inputs.completion_N).cumsum(0)[inputs.completion_N]
    to_go_N = up_to_end - cost_N.cumsum(0) + cost_N
    return replace(inputs, advantages_N=inputs.advantages_N - kl.coefficient * to_go_N)
