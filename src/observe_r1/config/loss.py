"""What is minimised: a union on ``type``. The code of each is in ``observe_r1.losses``.

    clipped          GRPO, DAPO, Dr.GRPO: one ratio a token, clipped on both sides
    sequence_ratio   GSPO: one ratio a completion
    clipped_weight   CISPO: REINFORCE with a clipped, detached importance weight

Defaults are GRPO as published (arXiv 2402.03300), without its KL term, which most no longer use.
"""

from typing import Annotated, Literal

from pydantic import Field

from observe_r1.config_base import Config


class KL(Config):
    """How much the policy is held near the model it started from."""

    coefficient: float = Field(default=0.0, ge=0.0)
    """β; 0: no reference model is kept or computed."""

    estimator: Literal["k1", "k2", "k3"] = "k3"
    """With r = log π - log π_ref: k1 = r, k2 = r²/2, k3 = exp(-r) - 1 + r."""

    place: Literal["loss", "reward"] = "loss"
    """``loss`` adds β·KL to every token's loss; ``reward`` takes β·Σ KL of a token and all that
    follow it from the token's advantage."""


class LossBase(Config):
    """What every loss has."""

    reduction: Literal["token_mean", "sequence_mean", "constant_length"] = "sequence_mean"
    """Always over the whole batch of an update, groups without signal counted:
    ``token_mean`` Σ/tokens (DAPO), ``sequence_mean`` mean of each completion's mean (GRPO),
    ``constant_length`` Σ/(completions · max_new_tokens) (Dr.GRPO)."""

    kl: KL = KL()
    """Distance to the model that training started from."""

    truncated_importance: float | None = Field(default=2.0, gt=0.0)
    """C: multiplies each token's loss by min(π_trainer/π_sampler, C); None: not corrected. It is 1
    where both compute alike; vLLM, in kernels of its own, does not."""

    entropy: float = Field(default=0.0, ge=0.0)
    """Coefficient of an entropy bonus."""


class ClippedLoss(LossBase):
    """-min(ρA, clip(ρ, 1 - low, 1 + high)·A) a token (GRPO; DAPO with high > low)."""

    type: Literal["clipped"] = "clipped"

    clip_low: float = Field(default=0.2, ge=0.0, le=1.0)
    """Ratios below 1 - clip_low get no gradient where A < 0."""

    clip_high: float = Field(default=0.2, ge=0.0)
    """Ratios above 1 + clip_high get no gradient where A > 0."""

    dual_clip: float | None = Field(default=None, gt=1.0)
    """Two-sided: where A < 0 the ratio is also cut off at this value; None: not."""


class SequenceRatioLoss(LossBase):
    """GSPO (arXiv 2507.18071): ρ = exp(mean over tokens of the log-ratio), clipped a completion."""

    type: Literal["sequence_ratio"] = "sequence_ratio"

    clip_low: float = Field(default=3e-4, ge=0.0, le=1.0)
    """As in ``clipped``, on the completion's ratio."""

    clip_high: float = Field(default=4e-4, ge=0.0)
    """As in ``clipped``, on the completion's ratio."""


class ClippedWeightLoss(LossBase):
    """CISPO (arXiv 2506.13585): -stop_gradient(clip(ρ, 1 - low, 1 + high))·A·log π a token."""

    type: Literal["clipped_weight"] = "clipped_weight"

    reduction: Literal["token_mean", "sequence_mean", "constant_length"] = "token_mean"
    """As in ``clipped``; the paper takes the token mean."""

    clip_low: float | None = Field(default=None, ge=0.0, le=1.0)
    """Lower cut of the weight; None: none, as in the paper."""

    clip_high: float = Field(default=0.2, ge=0.0)
    """Upper cut of the weight."""


Loss = Annotated[ClippedLoss | SequenceRatioLoss | ClippedWeightLoss, Field(discriminator="type")]
