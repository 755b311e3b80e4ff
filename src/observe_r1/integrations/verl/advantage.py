"""The estimator ``observe_r1``: what ``credit.py`` worked out for the groups, laid on the tokens.

verl tells an estimator which group a row belongs to. Our replay buffer puts the row's own key in
that place (the groups are done with by then), so every row finds its credit whatever order verl has
sorted the batch into.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from observe_r1.integrations.verl.credit import Credit
from observe_r1.integrations.verl.live import LIVE
from observe_r1.integrations.verl.settings import ESTIMATOR


@register_adv_est(ESTIMATOR)
def observe_r1_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray,
    config: Any = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """[B, T] advantages and returns, which are the same: there is no value model."""
    credits = [LIVE.credit(str(key)) for key in index]
    values = [0.0 if credit is None else credit.advantage for credit in credits]
    advantages = torch.tensor(values, dtype=torch.float32)[:, None] * response_mask
    if config is not None and config.get("use_kl_in_reward", False):
        advantages = advantages - kl_to_go(token_level_rewards, credits) * response_mask
    return advantages, advantages


def kl_to_go(token_level_rewards: Tensor, credits: list[Credit | None]) -> Tensor:
    """β·Σ KL of a token and all that follow: what verl has taken from the token's rewards."""
    placed = torch.zeros_like(token_level_rewards)
    for row, credit in enumerate(credits):
        if credit is not None and credit.num_tokens:
            placed[row, credit.num_tokens - 1] = credit.reward
    cost = placed - token_level_rewards
    return cost.flip(-1).cumsum(-1).flip(-1)
