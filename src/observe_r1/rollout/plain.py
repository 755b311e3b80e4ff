"""Decoding of a model whose prompts cannot be shared: each prompt alone, with the cache, masks and
positions that the model makes for itself. Slower, and right.
"""

import torch
from torch import Tensor
from transformers import DynamicCache

from observe_r1.config.rollout import Sampling
from observe_r1.policy.family import inner_model
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import EncodedPrompt
from observe_r1.policy.self_check import media_types
from observe_r1.rollout.sequences import Sequences
from observe_r1.types import Completion


class PlainDecoder(Sequences):
    """Draws the completions of one prompt; its tokens, though not its cache, are read once."""

    def __init__(
        self, policy: Policy, prompt: EncodedPrompt, randoms: Tensor, sampling: Sampling
    ) -> None:
        """``randoms`` [G, T]: one number a token."""
        super().__init__(policy, randoms, sampling)
        self.prompt = prompt

    @torch.no_grad()
    def run(self) -> list[Completion]:
        """Decode until every sequence has ended."""
        cache = DynamicCache(config=self.policy.model.config.get_text_config())
        logprobs_V = self._prefill(cache)
        while True:
            self.draw_at(torch.tensor([self.num_tokens], device=self.device), logprobs_V)
            self.count(1)
            if self.is_done():
                return self.completions()
            if (rows := self.unfinished(0.75)) is not None:
                cache.batch_select_indices(rows)
                self.live = self.live[rows]
            logprobs_V = self._step(cache)

    def _prefill(self, cache: DynamicCache) -> Tensor:
        """[G, V] what follows the prompt."""
        ids = self.prompt.ids_L.to(self.device)[None]
        hidden = inner_model(self.policy.model)(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=cache,
            use_cache=True,
            **media_types(self.policy.family, self.prompt.blocks_L.to(self.device)),
            **self.policy.packed.vision([self.prompt], self.device),
        ).last_hidden_state[:, -1]
        cache.batch_repeat_interleave(len(self.live))
        return self.read(hidden).repeat_interleave(len(self.live), 0)

    def _step(self, cache: DynamicCache) -> Tensor:
        last = self.tokens[self.live, self.num_tokens - 1 : self.num_tokens]
        seen = self.prompt.length + self.num_tokens
        place = last.new_full(last.shape, self.prompt.next_position + self.num_tokens - 1)
        has_mrope = self.policy.family.has_mrope
        hidden = inner_model(self.policy.model)(
            input_ids=last,
            attention_mask=last.new_ones(len(last), seen),
            position_ids=place.expand(3, -1, -1) if has_mrope else place,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        return self.read(hidden)
