"""Estimators of KL(π || π_ref) from one sample a token (Schulman, "Approximating KL divergence").

With r = log π - log π_ref at a token drawn from π: k1 = r is unbiased but noisy, k2 = r²/2 biased and
calm, k3 = exp(-r) - 1 + r unbiased and never negative.
"""

from typing import Literal

from torch import Tensor


def kl_estimate(logprobs: Tensor, reference: Tensor, estimator: Literal["k1", "k2", "k3"]) -> Tensor:
    r = logprobs - reference
    match estimator:
        case "k1":
            return r
        case "k2":
            return r.square() / 2
        case "k3":
            return (-r).exp() - 1 + r
