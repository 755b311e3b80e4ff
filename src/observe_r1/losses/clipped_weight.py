"""CISPO (arXiv 2506.13585): -stop_gradient(clip(ρ))·A·log π a token.

The ratio is a weight here, clipped and without gradient: unlike the clipped surrogate, no token
ever loses its gradient altogether.
"""

from observe_r1.config.loss import ClippedWeightLoss
from observe_r1.losses.inputs import LossInputs, LossOutput, Stat


def clipped_weight(inputs: LossInputs, config: ClippedWeightLoss) -> LossOutput:
    ratio = inputs.log_ratio_N.detach().exp()
    lowest = 0.0 if config.clip_low is None else 1 - config.clip_low
    bounded = ratio.clamp(lowest, 1 + config.clip_high)
    weighted = inputs.coefficients_N * inputs.importance_N(config.truncated_importance)
    return LossOutput(
        loss=-(weighted * bounded * inputs.advantages_N * inputs.logprobs_N).sum(),
        stats={
            "clip_low": Stat.mean((ratio < lowest).float()),
            "clip_high": Stat.mean((ratio > 1 + config.clip_high).float()),
            "ratio": Stat.mean(ratio),
        },
    )
