"""GSPO (arXiv 2507.18071): one ratio a completion, ρ = exp(mean over its tokens of log π/π_old).

Rewards are given to completions, so the importance ratio is one of completions too. Every token of
a completion carries the same clipped term; coefficients then make their mean.
"""

import torch

from observe_r1.config.loss import SequenceRatioLoss
from observe_r1.losses.clipped import clip
from observe_r1.losses.inputs import LossInputs, LossOutput, Stat, sum_by_completion


def sequence_ratio(inputs: LossInputs, config: SequenceRatioLoss) -> LossOutput:
    log_ratio_N, completion_N = inputs.log_ratio_N, inputs.completion_N
    lengths = sum_by_completion(torch.ones_like(log_ratio_N), completion_N)
    ratio_C = (sum_by_completion(log_ratio_N, completion_N) / lengths.clamp(min=1)).exp()
    return clip(inputs, config, ratio_C[completion_N], Stat.mean(ratio_C.detach()))
