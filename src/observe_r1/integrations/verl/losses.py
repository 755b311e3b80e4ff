"""Our losses on verl's tensors, registered as ``observe_r1_clipped`` and so on.

    verl: padded [B, T] with a mask   →   LossInputs: tokens in a row, a coefficient each

The settings are the actor's own (``clip_ratio_low``, ``clip_ratio_high``, ``clip_ratio_c``,
``loss_agg_mode``), the denominators those of verl's mini-batch over all GPUs. KL and entropy are
added by verl.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_policy_loss

from observe_r1.config.loss import ClippedLoss, ClippedWeightLoss, LossBase, SequenceRatioLoss
from observe_r1.integrations.verl.settings import LOSS_PREFIX, UNBOUNDED
from observe_r1.losses import LOSSES, LossInputs

Result = tuple[Tensor, dict[str, Any]]


def clipped_config(actor: Any) -> ClippedLoss:
    bound = actor.clip_ratio_c
    return ClippedLoss(
        clip_low=actor.clip_ratio_low,
        clip_high=actor.clip_ratio_high,
        dual_clip=None if bound is None or bound >= UNBOUNDED else bound,
    )


def sequence_ratio_config(actor: Any) -> SequenceRatioLoss:
    return SequenceRatioLoss(clip_low=actor.clip_ratio_low, clip_high=actor.clip_ratio_high)


def clipped_weight_config(actor: Any) -> ClippedWeightLoss:
    return ClippedWeightLoss(clip_low=actor.clip_ratio_low, clip_high=actor.clip_ratio_high)


CONFIGS: dict[str, Callable[[Any], LossBase]] = {
    "clipped": clipped_config,
    "sequence_ratio": sequence_ratio_config,
    "clipped_weight": clipped_weight_config,
}


def policy_loss(name: str) -> Callable[..., Result]:
    """One of our losses with the signature that verl calls."""

    def compute(
        old_log_prob: Tensor,
        log_prob: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        loss_agg_mode: str = "token-mean",
        config: Any = None,
        rollout_is_weights: Tensor | None = None,
    ) -> Result:
        mask = response_mask.bool()
        coefficients = token_coefficients(mask, loss_agg_mode, config.global_batch_info)
        if rollout_is_weights is not None:
            coefficients = coefficients * rollout_is_weights
        rows = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)
        inputs = LossInputs(
            logprobs_N=log_prob[mask],
            old_logprobs_N=old_log_prob[mask],
            advantages_N=advantages[mask],
            coefficients_N=coefficients[mask],
            completion_N=rows[mask],
            entropy_N=torch.zeros_like(log_prob[mask]),
        )
        output = LOSSES[name](inputs, CONFIGS[name](config))
        stats = {f"actor/{key}": stat.value for key, stat in output.stats.items()}
        return output.loss, stats

    return compute


def token_coefficients(mask: Tensor, mode: str, batch: dict[str, Any]) -> Tensor:
    """[B, T] share of every token in the mean over the mini-batch, as verl's ``agg_loss`` has it:
    gradients are averaged over GPUs, so each part is multiplied by their number."""
    copies = batch.get("dp_size") or 1
    lengths = mask.sum(-1, keepdim=True)
    rows = batch.get("global_batch_size") or (lengths > 0).sum()
    match mode:
        case "token-mean":
            share = 1.0 / (batch.get("batch_num_tokens") or mask.sum())
        case "seq-mean-token-mean":
            share = 1.0 / (rows * (lengths + 1e-8))
        case "seq-mean-token-sum-norm":
            share = 1.0 / (rows * (batch.get("loss_scale_factor") or mask.shape[-1]))
        case _:
            raise ValueError(
                f"loss_agg_mode is '{mode}', which the losses of observe-r1 do not know. Choose "
                "token-mean, seq-mean-token-mean or seq-mean-token-sum-norm."
            )
    return copies * share * torch.ones_like(mask, dtype=torch.float32)


for _name in CONFIGS:
    register_policy_loss(f"{LOSS_PREFIX}{_name}")(policy_loss(_name))
