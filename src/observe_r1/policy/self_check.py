"""Does a packed row equal separate rows on this model? Asked once, for families not in the tests.

The families below are tested one by one. On any other, the first row of the first update is
computed both ways; where they differ, the model is trained on separate rows: slower, and right.
"""

import logging
from typing import Any

import torch
from torch import Tensor

from observe_r1.policy.family import Family, base_model, inner_model
from observe_r1.policy.pack import PackedRow

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.05}
"""Largest difference of log-probs that rounding explains."""

logger = logging.getLogger(__name__)


@torch.no_grad()
def packing_is_exact(packed: Any, row: PackedRow) -> bool:
    """Compare the two; a difference is logged with its size."""
    packed.separate = False
    together = packed([row]).logprobs_N
    packed.separate = True
    apart = packed([row]).logprobs_N
    packed.separate = False
    difference = float((together - apart).abs().max())
    exact = difference <= TOLERANCE[next(packed.parameters()).dtype]
    if not exact:
        logger.warning(
            "A packed row of %s differs from separate rows by %.2g in log-prob, so its groups are "
            "computed one completion at a time.",
            base_model(packed.model).config.model_type, difference,
        )  # fmt: skip
    return exact


def separate_states(
    model: Any, family: Family, row: PackedRow, vision: dict[str, Any]
) -> tuple[Tensor, int]:
    """[N, H] as ``PackedPolicy`` reads them, each completion in a row of its own with the masks and
    positions that the model makes for itself; and how many tokens were computed."""
    device = next(model.parameters()).device
    prompt_ids, blocks = row.prompt.ids_L.to(device), row.prompt.blocks_L.to(device)
    states, num_tokens = [], 0
    for completion in row.targets_N.split(list(row.lengths_G)):
        inputs = completion[:-1].to(device)
        ids = torch.cat([prompt_ids, inputs])[None]
        types = {}
        if family.media_type_name:
            is_image = torch.cat([blocks >= 0, torch.zeros_like(inputs, dtype=torch.bool)])
            types[family.media_type_name] = is_image.int()[None]
        hidden = inner_model(model)(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **types, **vision
        ).last_hidden_state[0]
        states.append(hidden[row.prompt.length - 1 :])
        num_tokens += len(hidden)
    return torch.cat(states), num_tokens
