"""PackedPolicy: rows in, log-probs and entropy out. The one module that is wrapped.

Everything a pass needs happens inside ``forward``: encoding the images, the packed rows, the output
head. Calling inner modules around it would fail under FSDP2 and, under DDP, silently leave the
gradients of the processes unequal.

All rows of a call are one sequence for the model, so its layers run once however many groups there
are, and every image is encoded in the same pass of the vision tower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from observe_r1.policy.family import Family, inner_model, output_head, parameters_by_part
from observe_r1.policy.logprobs import chunked_logprobs, scaled_logprobs
from observe_r1.policy.pack import JoinedRows, PackedRow, join_rows
from observe_r1.policy.pieces import piece_masks
from observe_r1.policy.prompts import can_merge_vision
from observe_r1.policy.self_check import separate_states
from observe_r1.policy.vision import VisionInputs

Kernel = Literal["pieces", "blocks"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedOutput:
    """One number a completion token, rows and completions in the order they were given."""

    logprobs_N: Tensor
    entropy_N: Tensor
    num_tokens: int
    """Tokens that the model computed, padding included."""


class PackedPolicy(nn.Module):
    """A model read through packed rows."""

    model: Any
    suppressed: Tensor

    def __init__(
        self, model: nn.Module, family: Family, *, chunk: int = 1024, kernel: Kernel = "pieces",
        kernel_options: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model
        self.family = family
        self.chunk = chunk
        self.kernel: Kernel = kernel
        self.kernel_options = kernel_options
        self.vision = VisionInputs(model, family)
        self.touches_all = False
        """Give every trained parameter a gradient, be it zero, in every pass: what FSDP2 needs."""
        self.separate = False
        """Compute every completion in a row of its own: for models whose packed rows are not
        exact."""
        self.is_settled = family.is_tested
        """Whether that is known; see ``self_check``."""
        self.register_buffer(
            "suppressed", torch.tensor(family.suppressed_ids, dtype=torch.long), persistent=False
        )

    def forward(
        self, rows: Sequence[PackedRow], temperature: float = 1.0, entropy_gradient: bool = False
    ) -> PackedOutput:
        """``entropy_gradient``: let the entropy be part of a loss."""
        parts = [self._predicting_states(part) for part in self.passes(rows)]
        hidden_N = torch.cat([hidden for hidden, _ in parts]) if len(parts) > 1 else parts[0][0]
        targets_N = torch.cat([row.targets_N for row in rows]).to(hidden_N.device)
        logprobs_N, entropy_N = chunked_logprobs(
            hidden_N, targets_N, output_head(self.model), lambda x: self.read(x, temperature),
            chunk=self.chunk, with_entropy_gradient=entropy_gradient,
        )  # fmt: skip
        if self.touches_all:
            logprobs_N = logprobs_N + self._zero_times_vision()
        return PackedOutput(
            logprobs_N=logprobs_N, entropy_N=entropy_N, num_tokens=sum(count for _, count in parts)
        )

    def passes(self, rows: Sequence[PackedRow]) -> list[Sequence[PackedRow]]:
        """Which rows go through the model together: all of them, unless the images of their
        prompts cannot be one input, or it is not known how this family's would be."""
        with_images = [row.prompt for row in rows if row.prompt.vision]
        merges = len(with_images) < 2 or (
            self.family.merges_images
            and (self.vision.keeps_features or can_merge_vision(with_images))
        )
        return [[row] for row in rows] if self.separate or not merges else [rows]

    def states(self, rows: Sequence[PackedRow], cache: Any = None) -> tuple[Tensor, JoinedRows]:
        """[S, H] the last hidden states of rows that go through the model together."""
        device = self.suppressed.device
        joined, mask = self._laid_out(rows, device)
        positions = joined.positions.to(device)
        states = inner_model(self.model)(
            input_ids=joined.ids_S.to(device)[None],
            attention_mask=mask,
            position_ids=positions[:, None] if self.family.has_mrope else positions,
            past_key_values=cache,
            use_cache=cache is not None,
            **self.vision([row.prompt for row in rows], device),
            **self._media_types(joined.blocks_S.to(device)[None]),
        ).last_hidden_state
        return states[0], joined

    def read(self, logits: Tensor, temperature: float) -> Tensor:
        """Logits → log-probs, the one definition that sampler and trainer share."""
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        if cap:
            logits = cap * torch.tanh(logits / cap)
        return scaled_logprobs(logits, temperature, self.suppressed)

    def _predicting_states(self, rows: Sequence[PackedRow]) -> tuple[Tensor, int]:
        """[N, H]: for each completion token the hidden state that predicts it; and how many tokens
        were computed."""
        if self.separate:
            vision = self.vision([rows[0].prompt], self.suppressed.device)
            return separate_states(self.model, self.family, rows[0], vision)
        states, joined = self.states(rows)
        return states[joined.predict_N.to(states.device)], len(states)

    def _laid_out(
        self, rows: Sequence[PackedRow], device: torch.device
    ) -> tuple[JoinedRows, Tensor | dict[str, Tensor]]:
        if self.kernel == "pieces":
            return join_rows(rows), piece_masks(rows, self.family, device)
        from observe_r1.policy.blocks import block_masks, bucket

        joined = join_rows(rows, bucket(sum(row.length for row in rows)))
        return joined, block_masks(joined, self.family, device, self.kernel_options)

    def _zero_times_vision(self) -> Tensor:
        trained = [
            parameter.sum()
            for parameter, part in parameters_by_part(self.model)
            if part != "language" and parameter.requires_grad
        ]
        return 0.0 * torch.stack(trained).sum() if trained else self.suppressed.new_zeros(())

    def _media_types(self, blocks: Tensor) -> dict[str, Tensor]:
        """Which tokens are of images, for the families that ask for it by this name."""
        if self.family.media_type_name != "mm_token_type_ids":
            return {}
        return {"mm_token_type_ids": (blocks >= 0).int()}
