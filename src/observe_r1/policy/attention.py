"""Who sees whom in a packed row, and the attention that computes exactly that and nothing else.

    row      [ prompt | c0 | c1 | c2 ]           every completion sees the prompt and itself

    prompt   attends to itself                   L × L, causal
    c0 c1 c2 side by side as a batch of G        G × R × (L + R): [prompt | own], causal at the end

A dense mask over the row would compute S × S scores, of which most are masked: with a prompt of 120
tokens and 8 completions of 80, four times as many as there are. Here both parts are ordinary calls
of Transformers' own SDPA attention, so gradients, grouped heads and precision are its business.

Transformers takes any 4-D mask as it is and hands it to the attention function, which we register
through its public interface. Our mask is a placeholder that carries the row's layout. Were it ever
used as a mask, nothing would be visible and the result not a number: it cannot fail silently.

What differs between families: in some, tokens of one image see each other in both directions; and
in sliding layers the window counts positions, so a completion far from its prompt in the row still
sees the end of it.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from observe_r1.policy.family import Family

NAME = "observe_r1"
"""Under which the attention function is registered."""


class Layout(Protocol):
    """How one attention call is computed; what a placeholder mask carries."""

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **settings: Any
    ) -> Tensor:
        """[B, heads, S, width] each → [B, S, heads, width]."""
        ...


def placeholder(layout: Layout, num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """A mask that shows nothing, takes no memory and carries ``layout``."""
    mask = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=device).expand(
        1, 1, num_queries, num_keys
    )
    mask.attention_layout = layout  # type: ignore[attr-defined]
    return mask


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    **settings: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """The registered function: as the layout says, or plain SDPA where there is none."""
    layout = getattr(attention_mask, "attention_layout", None)
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    return layout.attend(module, query, key, value, **settings), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowLayout:
    """One row: a prompt of L tokens, G completions of at most R."""

    prompt_length: int
    prompt_mask: Tensor | None
    """[1, 1, L, L], or None where causal is enough."""
    completion_mask: Tensor
    """[1, 1, R, L + R]: the same for every completion, since their positions are."""
    fill: Tensor
    """[G·R] place in the row, after the prompt, of every completion token; short completions repeat
    one of their tokens at the end, which nobody reads."""
    back: Tensor
    """[S - L] place in [G·R] of every token after the prompt."""
    num_branches: int

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **settings: Any
    ) -> Tensor:
        start = self.prompt_length
        of_prompt, _ = sdpa_attention_forward(
            module, query[:, :, :start], key[:, :, :start], value[:, :, :start], self.prompt_mask,
            **settings,
        )  # fmt: skip
        if not self.num_branches:
            return of_prompt
        of_completions, _ = sdpa_attention_forward(
            module, self._branches(query), self._after_prompt(key), self._after_prompt(value),
            self.completion_mask, **settings,
        )  # fmt: skip
        in_row = of_completions.flatten(0, 1).index_select(0, self.back)
        return torch.cat([of_prompt, in_row[None]], 1)

    def _branches(self, states: Tensor) -> Tensor:
        """[1, heads, S, width] → [G, heads, R, width]."""
        filled = states[0, :, self.prompt_length :].index_select(1, self.fill)
        return filled.unflatten(1, (self.num_branches, -1)).transpose(0, 1)

    def _after_prompt(self, states: Tensor) -> Tensor:
        """[1, heads, S, width] → [G, heads, L + R, width]: the prompt's, then the branch's own."""
        prompt = states[:, :, : self.prompt_length].expand(self.num_branches, -1, -1, -1)
        return torch.cat([prompt, self._branches(states)], 2)


def row_masks(
    lengths_G: tuple[int, ...], positions_L: Tensor, blocks_L: Tensor, family: Family
) -> Tensor | dict[str, Tensor]:
    """The placeholder for a row, or one for each kind of layer. ``lengths_G`` counts the tokens
    that are in the row; those of length 0 have no branch. Positions are of the first axis."""
    lengths = [n for n in lengths_G if n]
    longest = max(lengths, default=0)
    num_tokens = len(positions_L) + sum(lengths)
    fill, back = _places(lengths, longest, positions_L.device)

    def mask(window: int | None) -> Tensor:
        layout = RowLayout(
            prompt_length=len(positions_L),
            prompt_mask=_prompt_mask(positions_L, blocks_L, family, window),
            completion_mask=_completion_mask(positions_L, longest, window),
            fill=fill,
            back=back,
            num_branches=len(lengths),
        )
        return placeholder(layout, num_tokens, num_tokens, positions_L.device)

    if family.sliding_window is None:
        return mask(None)
    return {"full_attention": mask(None), "sliding_attention": mask(family.sliding_window)}


def _places(lengths: list[int], longest: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """``fill`` and ``back`` of a layout.

    Example (lengths 2 and 1): fill [0, 1, 2, 2], back [0, 1, 2].
    """
    sizes = torch.tensor(lengths, dtype=torch.long)
    starts = sizes.cumsum(0) - sizes
    steps = torch.arange(longest)
    fill = starts[:, None] + torch.minimum(steps, sizes[:, None] - 1)
    back = (torch.arange(len(lengths))[:, None] * longest + steps)[steps < sizes[:, None]]
    return fill.flatten().to(device), back.to(device)


def _prompt_mask(
    positions_L: Tensor, blocks_L: Tensor, family: Family, window: int | None
) -> Tensor | None:
    if window is None and not family.bidirectional_images:
        return None
    index = torch.arange(len(positions_L), device=positions_L.device)
    mask = index[:, None] >= index
    if family.bidirectional_images:
        mask |= (blocks_L[:, None] == blocks_L) & (blocks_L[:, None] >= 0)
    if window is not None:
        mask &= positions_L[:, None] - positions_L < window
    return mask[None, None]


def _completion_mask(positions_L: Tensor, longest: int, window: int | None) -> Tensor:
    """Query i of a completion sees the whole prompt and its own first i + 1 tokens."""
    own = torch.arange(longest, device=positions_L.device)
    causal = own[:, None] >= own
    mask = torch.cat([causal.new_ones(longest, len(positions_L)), causal], 1)
    if window is not None:
        positions = torch.cat([positions_L, positions_L.max() + 1 + own])
        mask = mask & (positions[len(positions_L) :, None] - positions < window)
    return mask[None, None]


def prefill_masks(
    positions: Tensor, blocks: Tensor, is_pad: Tensor, family: Family
) -> Tensor | dict[str, Tensor]:
    """Dense masks of a batch of left-padded prompts [B, L]."""
    index = torch.arange(positions.shape[-1], device=positions.device)
    mask = (index[:, None] >= index).expand(len(positions), -1, -1)
    if family.bidirectional_images:
        mask = mask | ((blocks[:, :, None] == blocks[:, None, :]) & (blocks[:, :, None] >= 0))
    # A pad sees itself alone: a query that sees nothing would be 0/0.
    alone = index[:, None] == index
    mask = (mask & ~is_pad[:, None, :]) | alone
    if family.sliding_window is None:
        return mask[:, None]
    near = (positions[:, :, None] - positions[:, None, :]) < family.sliding_window
    return {"full_attention": mask[:, None], "sliding_attention": (mask & near)[:, None]}
