"""The sequences of one turn, decoded together from the shared cache.

    prefill ─▶ draw ─▶ [ feed the last token, read the distribution, draw ]  until all have ended
                          └──────────── one step: nothing but tensors ─────┘

Two ways to go, with the same tokens:

    growing    the cache is looked at as far as it is filled, and finished sequences are dropped as
               soon as they are a quarter: least work, new shapes at every step. On a CPU.
    fixed      ``STRETCH`` more places are looked at than are filled, the empty ones masked, and
               half of the sequences must have finished before any is dropped. A step then has the
               same shapes many times in a row, and is replayed. On a GPU.
"""

import torch
from torch import Tensor

from observe_r1.config.rollout import Sampling
from observe_r1.policy.attention import placeholder
from observe_r1.policy.compiled import as_written
from observe_r1.policy.family import inner_model
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import EncodedPrompt
from observe_r1.rollout.cache import BranchedCache, Branches, BranchLayout
from observe_r1.rollout.prefill import left_padded, prefill
from observe_r1.rollout.replay import Replay
from observe_r1.rollout.sequences import Sequences
from observe_r1.types import Completion

STRETCH = 256
"""Fixed shapes: places of the cache that one recording looks ahead."""
BETWEEN_LOOKS = 16
"""Fixed shapes: steps between two looks at which sequences have finished."""


class Decoder(Sequences):
    """Draws G completions of each prompt."""

    def __init__(
        self, policy: Policy, prompts: list[EncodedPrompt], randoms: Tensor, group_size: int,
        sampling: Sampling, *, fixed: bool = False,
    ) -> None:  # fmt: skip
        """``randoms`` [B, T]: one number a token."""
        super().__init__(policy, randoms, sampling)
        self.fixed = fixed
        self.branches = Branches(self.live // group_size)
        self.visible = 0
        self._prefill(prompts, group_size)

    @torch.no_grad()
    def run(self) -> list[Completion]:
        """Decode until every sequence has ended."""
        self._draw()
        self.count(1)
        with as_written(self.policy.config.compile_layers):
            while not self.is_done():
                self._go_on()
        return self.completions()

    def _go_on(self) -> None:
        """As many steps as can be taken without looking at what they drew."""
        if self._retire() or self.num_tokens > self.visible:
            self._look_ahead()
        times = min(self._steps_in_a_row(), self.sampling.max_new_tokens - self.num_tokens)
        self.replay.run(self._step, times)
        self.count(times)

    def _prefill(self, prompts: list[EncodedPrompt], group_size: int) -> None:
        """One forward pass over all prompts; its cache is what every branch reads."""
        longest = max(p.length for p in prompts)
        lengths = torch.tensor([p.length for p in prompts], device=self.device)
        self.is_pad = torch.arange(longest, device=self.device) < (longest - lengths)[:, None]
        positions = left_padded([p.positions[0] for p in prompts], longest, 0)
        self.prompt_positions = positions.to(self.device)
        starts = [p.next_position for p in prompts]
        self.next_position = torch.tensor(starts, device=self.device)
        layers, hidden = prefill(self.policy.packed, prompts)
        self.cache = BranchedCache(layers, len(self.live), self.sampling.max_new_tokens)
        self.logprobs_V = self.read(hidden).repeat_interleave(group_size, 0)
        self._hide_pads()

    def _hide_pads(self) -> None:
        bias = torch.zeros(self.is_pad.shape, device=self.device)
        bias = bias.masked_fill(self.is_pad, float("-inf"))[:, None, None]
        self.prompt_bias = bias if bool(self.is_pad.any()) else None

    def _look_ahead(self) -> None:
        """How much of the cache the coming steps look at; with it their shapes are fixed."""
        ahead = STRETCH if self.fixed else 1
        self.visible = min(self.num_tokens + ahead - 1, self.sampling.max_new_tokens)
        self.cache.look_at(self.visible)
        self.replay = Replay(self.device)

    def _steps_in_a_row(self) -> int:
        if not self.fixed or self.sampling.stop:
            return 1
        return min(BETWEEN_LOOKS, self.visible - self.num_tokens + 1)

    def _step(self) -> None:
        """Feed the tokens drawn last, read the next distribution, draw from it. All that changes
        is in tensors, and nothing is asked of the host."""
        last = self.tokens.index_select(1, self.cache.place)[self.live]
        positions = (self.next_position + self.cache.place)[self.branches.prompt_B][:, None]
        has_mrope = self.policy.family.has_mrope
        hidden = inner_model(self.policy.model)(
            input_ids=last,
            attention_mask=self._masks(),
            position_ids=positions.expand(3, -1, -1) if has_mrope else positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        self.logprobs_V = self.read(hidden)
        self.cache.place += 1
        self._draw()

    def _masks(self) -> Tensor | dict[str, Tensor]:
        """Placeholders for this step; in sliding layers the window has moved on by one."""
        place, window = self.cache.place, self.policy.family.sliding_window
        ages = place - torch.arange(self.visible, device=self.device)
        own = self._bias(ages < 0) if self.fixed else None
        full = self._placeholder(self.prompt_bias, own)
        if window is None:
            return full
        distances = (self.next_position + place)[:, None] - self.prompt_positions
        near = self._placeholder(
            self._bias(self.is_pad | (distances >= window))[:, None, None],
            self._bias((ages < 0) | (ages >= window)),
        )
        return {"full_attention": full, "sliding_attention": near}

    def _bias(self, hidden: Tensor) -> Tensor:
        return torch.zeros(hidden.shape, device=self.device).masked_fill(hidden, float("-inf"))

    def _placeholder(self, prompt_bias: Tensor | None, own_bias: Tensor | None) -> Tensor:
        layout = BranchLayout(self.cache, self.branches, prompt_bias, own_bias)
        return placeholder(layout, 1, self.is_pad.shape[1] + self.visible, self.device)

    def _draw(self) -> None:
        self.draw_at(self.cache.place, self.logprobs_V)

    def _retire(self) -> bool:
        """Drop finished sequences once they are a good part of what is computed."""
        rows = self.unfinished(0.5 if self.fixed else 0.75)
        if rows is None:
            return False
        prompts, prompt_B = self.branches.prompt_B[rows].unique_consecutive(return_inverse=True)
        self.cache.keep(rows, prompts)
        self.live, self.branches = self.live[rows], Branches(prompt_B)
        self.is_pad, self.prompt_positions = self.is_pad[prompts], self.prompt_positions[prompts]
        self.next_position = self.next_position[prompts]
        self._hide_pads()
        return True
