"""PackedPolicy: rows in, log-probs and entropy out. The one module that is wrapped.

Everything a pass needs happens inside ``forward``: encoding the images, the packed rows, the output
head. Calling inner modules around it would fail under FSDP2 and, under DDP, silently leave the
gradients of the processes unequal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from observe_r1.policy.attention import row_masks
from observe_r1.policy.family import Family, inner_model, output_head, part_of
from observe_r1.policy.logprobs import chunked_logprobs, scaled_logprobs
from observe_r1.policy.pack import PackedRow
from observe_r1.policy.self_check import separate_states
from observe_r1.policy.vision import VisionInputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedOutput:
    """One number a completion token, rows and completions in the order they were given."""

    logprobs_N: Tensor
    entropy_N: Tensor


class PackedPolicy(nn.Module):
    """A model read through packed rows."""

    model: Any
    suppressed: Tensor

    def __init__(self, model: nn.Module, family: Family, *, chunk: int = 1024) -> None:
        super().__init__()
        self.model = model
        self.family = family
        self.chunk = chunk
        self.vision = VisionInputs(model, family)
        self.touches_all = False
        """Give every trained parameter a gradient, be it zero, in every pass: what FSDP2 needs."""
        self.separate = False
        """Compute every completion in a row of its own: for models whose packed rows are not
        exact."""
        self.register_buffer(
            "suppressed", torch.tensor(family.suppressed_ids, dtype=torch.long), persistent=False
        )

    def forward(
        self, rows: Sequence[PackedRow], temperature: float = 1.0, entropy_gradient: bool = False
    ) -> PackedOutput:
        """``entropy_gradient``: let the entropy be part of a loss."""
        hidden_N = torch.cat([self._predicting_states(row) for row in rows])
        targets_N = torch.cat([row.targets_N for row in rows]).to(hidden_N.device)
        logprobs_N, entropy_N = chunked_logprobs(
            hidden_N, targets_N, output_head(self.model), lambda x: self.read(x, temperature),
            chunk=self.chunk, with_entropy_gradient=entropy_gradient,
        )  # fmt: skip
        if self.touches_all:
            logprobs_N = logprobs_N + self._zero_times_vision()
        return PackedOutput(logprobs_N=logprobs_N, entropy_N=entropy_N)

    def _zero_times_vision(self) -> Tensor:
        parts = [p.sum() for n, p in self.named_parameters() if part_of(n) != "language"]
        return 0.0 * torch.stack(parts).sum()

    def read(self, logits: Tensor, temperature: float) -> Tensor:
        """Logits → log-probs, the one definition that sampler and trainer share."""
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        if cap:
            logits = cap * torch.tanh(logits / cap)
        return scaled_logprobs(logits, temperature, self.suppressed)

    def _predicting_states(self, row: PackedRow) -> Tensor:
        """[N, H]: for each completion token the hidden state that predicts it."""
        device = self.suppressed.device
        vision = self.vision([row.prompt], device)
        if self.separate:
            return separate_states(self.model, self.family, row, vision)
        positions = row.positions.to(device)
        pad = row.length - row.prompt.length
        blocks = torch.nn.functional.pad(row.prompt.blocks_L, (0, pad), value=-1).to(device)
        start = row.prompt.length
        mask = row_masks(
            tuple(n - 1 for n in row.lengths_G), positions[0, :start], blocks[:start], self.family
        )
        states = inner_model(self.model)(
            input_ids=row.ids_S.to(device)[None],
            attention_mask=mask,
            position_ids=positions[:, None] if self.family.has_mrope else positions,
            use_cache=False,
            **vision,
            **self.media_types(blocks[None]),
        ).last_hidden_state
        return states[0, row.predict_N.to(device)]

    def media_types(self, blocks: Tensor) -> dict[str, Tensor]:
        """Which tokens are of images, for the families that ask for it by this name."""
        if self.family.media_type_name != "mm_token_type_ids":
            return {}
        return {"mm_token_type_ids": (blocks >= 0).int()}
