"""Who sees whom: dense masks from branches, positions and images.

A query sees a key that comes no later, in the prompt or in its own branch. Two things differ
between families: in some, the tokens of one image see each other in both directions; and in
sliding layers the window counts positions, so that a completion packed far from its prompt still
sees the end of it.
"""

import torch
from torch import Tensor

from observe_r1.policy.family import Family


def row_mask(
    branch: Tensor, positions: Tensor, blocks: Tensor, family: Family, is_pad: Tensor | None = None
) -> Tensor | dict[str, Tensor]:
    """Mask of whole rows [B, S] → [B, 1, S, S], or one mask for each kind of layer.

    Example (prompt of two tokens, completions of two and one):
        branch  -1 -1 0 0 1      1 . . . .
                                 1 1 . . .
                                 1 1 1 . .
                                 1 1 1 1 .
                                 1 1 . . 1
    """
    index = torch.arange(branch.shape[-1], device=branch.device)
    same_branch = (branch[:, None, :] == -1) | (branch[:, :, None] == branch[:, None, :])
    mask = (index[:, None] >= index) & same_branch
    if family.bidirectional_images:
        mask |= (blocks[:, :, None] == blocks[:, None, :]) & (blocks[:, :, None] >= 0)
    if is_pad is not None:
        # A pad sees itself alone: a query that sees nothing would be 0/0.
        mask = (mask & ~is_pad[:, None, :]) | (index[:, None] == index)
    return _by_layer_kind(mask, positions[:, :, None] - positions[:, None, :], family)


def step_mask(
    visible: Tensor, key_positions: Tensor, query_positions: Tensor, family: Family
) -> Tensor | dict[str, Tensor]:
    """Mask of one decoding step: visible [B, K] keys, one query a row → [B, 1, 1, K]."""
    distance = None
    if family.sliding_window is not None:
        distance = (query_positions[:, None] - key_positions)[:, None, :]
    return _by_layer_kind(visible[:, None, :], distance, family)


def _by_layer_kind(
    mask: Tensor, distance: Tensor | None, family: Family
) -> Tensor | dict[str, Tensor]:
    if family.sliding_window is None or distance is None:
        return mask[:, None]
    near = mask & (distance < family.sliding_window)
    return {"full_attention": mask[:, None], "sliding_attention": near[:, None]}
