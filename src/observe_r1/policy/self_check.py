"""Does a packed row equal separate rows on this model? Asked once, for families not in the tests.

The families there are tested one by one. On any other, the first prompts are computed both ways
before anything is drawn or trained; where the two differ, or where the packed one cannot be
computed at all, completions are computed one by one: slower, and right.
"""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from observe_r1.errors import ModelError
from observe_r1.policy.family import Family, base_model, inner_model
from observe_r1.policy.pack import PackedRow, pack_group
from observe_r1.policy.prompts import EncodedPrompt

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.05}
"""Largest difference of log-probs that rounding explains."""

logger = logging.getLogger(__name__)


def settle(packed: Any, prompts: Sequence[EncodedPrompt]) -> None:
    """Decide how a model is read, unless that is known. The same prompts give the same answer, so a
    run that is resumed reads as it did before."""
    if packed.is_settled:
        return
    rows = [sample_row(prompt) for prompt in prompts]
    packed.separate = not all(packing_is_exact(packed, row) for row in rows)
    packed.is_settled = True


def sample_row(prompt: EncodedPrompt) -> PackedRow:
    """A row with two completions, made of the prompt's own words."""
    words = prompt.ids_L[prompt.blocks_L < 0].tolist()
    return pack_group(prompt, [words[:6], words[-4:]])


@torch.no_grad()
def packing_is_exact(packed: Any, row: PackedRow) -> bool:
    """Compare the two; a difference is logged with its size."""
    name = base_model(packed.model).config.model_type
    apart = _logprobs(packed, row, separate=True)
    try:
        together = _logprobs(packed, row, separate=False)
    except (torch.OutOfMemoryError, ModelError):
        raise
    except Exception as error:  # whatever a model of another build raises
        reason = f"cannot be computed ({type(error).__name__}: {error})"
    else:
        difference = float((together - apart).abs().max())
        if difference <= tolerance(packed):
            return True
        reason = f"differs from separate rows by {difference:.2g} in log-prob"
    logger.warning(
        "A packed row of %s %s, so its completions are computed one at a time: slower, and right.",
        name, reason,
    )  # fmt: skip
    return False


def tolerance(packed: Any) -> float:
    return TOLERANCE[next(packed.parameters()).dtype]


def _logprobs(packed: Any, row: PackedRow, *, separate: bool) -> Tensor:
    before, packed.separate = packed.separate, separate
    try:
        return packed([row]).logprobs_N
    finally:
        packed.separate = before


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
        types = media_types(family, torch.cat([blocks, torch.full_like(inputs, -1)]))
        hidden = inner_model(model)(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **types, **vision
        ).last_hidden_state[0]
        states.append(hidden[row.prompt.length - 1 :])
        num_tokens += len(hidden)
    return torch.cat(states), num_tokens


def media_types(family: Family, blocks: Tensor) -> dict[str, Tensor]:
    """Which of one row's tokens are of images, under the name that the model's forward has."""
    if not family.media_type_name:
        return {}
    return {family.media_type_name: (blocks >= 0).int()[None]}
