"""The clipped surrogate: -min(ρA, clip(ρ, 1 - low, 1 + high)·A) a token, ρ = π/π_old.

GRPO (arXiv 2402.03300) has low = high; DAPO (arXiv 2503.14476) raises high alone. With
``dual_clip`` the loss of a token with A < 0 is bounded too (arXiv 1912.09729).
"""

import torch

from observe_r1.config.loss import ClippedLoss
from observe_r1.losses.inputs import LossInputs, LossOutput, Stat


def clipped(inputs: LossInputs, config: ClippedLoss) -> LossOutput:
    ratio, advantages = inputs.log_ratio_N.exp(), inputs.advantages_N
    bounded = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    surrogate = torch.minimum(ratio * advantages, bounded * advantages)
    if config.dual_clip is not None:
        floor = config.dual_clip * advantages
        surrogate = torch.where(advantages < 0, torch.maximum(surrogate, floor), surrogate)
    weighted = inputs.coefficients_N * inputs.importance_N(config.truncated_importance)
    below = (ratio < 1 - config.clip_low) & (advantages < 0)
    above = (ratio > 1 + config.clip_high) & (advantages > 0)
    return LossOutput(
        loss=-(weighted * surrogate).sum(),
        stats={
            "clip_low": Stat.mean(below.float()),
            "clip_high": Stat.mean(above.float()),
            "ratio": Stat.mean(ratio.detach()),
        },
    )
