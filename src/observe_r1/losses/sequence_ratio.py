"""GSPO (arXiv 2507.18071): one ratio a completion, ρ = exp(mean over its tokens of log π/π_old).

Rewards are given to completions, so the importance ratio is one of completions too. Every token of
a completion carries the same clipped term; coefficients then make their mean.
"""

import torch

from observe_r1.config.loss import SequenceRatioLoss
from observe_r1.losses.inputs import LossInputs, LossOutput, Stat, sum_by_completion


def sequence_ratio(inputs: LossInputs, config: SequenceRatioLoss) -> LossOutput:
    log_ratio_N, completion_N = inputs.log_ratio_N, inputs.completion_N
    lengths = sum_by_completion(torch.ones_like(log_ratio_N), completion_N)
    ratio_C = (sum_by_completion(log_ratio_N, completion_N) / lengths.clamp(min=1)).exp()
    ratio, advantages = ratio_C[completion_N], inputs.advantages_N
    bounded = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    surrogate = torch.minimum(ratio * advantages, bounded * advantages)
    weighted = inputs.coefficients_N * inputs.importance_N(config.truncated_importance)
    below = (ratio < 1 - config.clip_low) & (advantages < 0)
    above = (ratio > 1 + config.clip_high) & (advantages > 0)
    return LossOutput(
        loss=-(weighted * surrogate).sum(),
        stats={
            "clip_low": Stat.mean(below.float()),
            "clip_high": Stat.mean(above.float()),
            "ratio": Stat.mean(ratio_C.detach()),
        },
    )
