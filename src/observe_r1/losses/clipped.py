"""The clipped surrogate: -min(ρA, clip(ρ, 1 - low, 1 + high)·A) a token, ρ = π/π_old.

GRPO (arXiv 2402.03300) has low = high; DAPO (arXiv 2503.14476) raises high alone. With
``dual_clip`` the loss of a token with A < 0 is bounded too (arXiv 1912.09729).
"""

import torch
from torch import Tensor

from observe_r1.config.loss import ClippedLoss, SequenceRatioLoss
from observe_r1.losses.inputs import LossInputs, LossOutput, Stat


def clipped(inputs: LossInputs, config: ClippedLoss) -> LossOutput:
    ratio_N = inputs.log_ratio_N.exp()
    return clip(inputs, config, ratio_N, Stat.mean(ratio_N.detach()), config.dual_clip)


def clip(
    inputs: LossInputs,
    config: ClippedLoss | SequenceRatioLoss,
    ratio_N: Tensor,
    mean_ratio: Stat,
    dual_clip: float | None = None,
) -> LossOutput:
    """The surrogate for any ratio that each token is given."""
    advantages = inputs.advantages_N
    bounded = ratio_N.clamp(1 - config.clip_low, 1 + config.clip_high)
    surrogate = torch.minimum(ratio_N * advantages, bounded * advantages)
    if dual_clip is not None:
        floor = dual_clip * advantages
        surrogate = torch.where(advantages < 0, torch.maximum(surrogate, floor), surrogate)
    weighted = inputs.coefficients_N * inputs.importance_N(config.truncated_importance)
    below = (ratio_N < 1 - config.clip_low) & (advantages < 0)
    above = (ratio_N > 1 + config.clip_high) & (advantages > 0)
    return LossOutput(
        loss=-(weighted * surrogate).sum(),
        stats={
            "clip_low": Stat.mean(below.float()),
            "clip_high": Stat.mean(above.float()),
            "ratio": mean_ratio,
        },
    )
