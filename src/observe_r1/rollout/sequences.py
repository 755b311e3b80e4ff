"""What has been drawn of each sequence of a turn, and which sequences are still alive.

All of it is in tensors and nothing is asked of the host, so that a step can be recorded.
"""

import torch
from torch import Tensor

from observe_r1.config.rollout import Sampling
from observe_r1.policy.family import output_head
from observe_r1.policy.load import Policy
from observe_r1.rollout.sampling import draw, end_flags
from observe_r1.types import Completion


class Sequences:
    """Tokens, log-probs and lengths of ``B`` sequences. What decodes them is a subclass.

    Example (B = 3; the second has ended with its second token):
        tokens [[7, 4, 9, 0], [3, 1, 0, 0], [7, 2, 2, 0]]   lengths [4, 2, 4]   live [0, 2]
    """

    def __init__(self, policy: Policy, randoms: Tensor, sampling: Sampling) -> None:
        """``randoms`` [B, T]: one number a token."""
        self.policy = policy
        self.sampling = sampling
        self.device = policy.device
        self.randoms = randoms.to(self.device)
        count, limit = self.randoms.shape
        ends = {*policy.end_ids, *sampling.stop_token_ids}
        self.is_end_V = end_flags(policy.family.num_vocabulary, ends, self.device)
        self.tokens = torch.zeros(count, limit, dtype=torch.long, device=self.device)
        self.logprobs = torch.zeros(count, limit, device=self.device)
        self.lengths = torch.full((count,), limit, device=self.device)
        self.finished = torch.zeros(count, dtype=torch.bool, device=self.device)
        self.live = torch.arange(count, device=self.device)
        self.num_tokens = 0

    def read(self, hidden: Tensor) -> Tensor:
        """[B, H] → [B, V], exactly as the trainer reads it."""
        logits = output_head(self.policy.model)(hidden)
        return self.policy.packed.read(logits, self.sampling.temperature)

    def draw_at(self, place: Tensor, logprobs_V: Tensor) -> None:
        """One token for every live sequence, at the place after those it has fed."""
        live = self.live
        randoms = self.randoms.index_select(1, place)[live, 0]
        tokens = draw(logprobs_V, randoms, self.sampling)
        self.tokens[live, place] = tokens
        self.logprobs[live, place] = logprobs_V.gather(-1, tokens[:, None])[:, 0]
        self._end(self.is_end_V[tokens], place + 1)

    def _end(self, ended: Tensor, length: Tensor | int) -> None:
        """Mark the live sequences whose last token has ended them."""
        before = self.finished[self.live]
        lengths = torch.where(ended & ~before, length, self.lengths[self.live])
        self.lengths[self.live] = lengths
        self.finished[self.live] = before | ended

    def count(self, times: int) -> None:
        """So many more tokens are there; stop strings are looked for."""
        self.num_tokens += times
        if self.sampling.stop:
            self._end(self._holds_stop_string(), self.num_tokens)

    def is_done(self) -> bool:
        return self.num_tokens == self.sampling.max_new_tokens or bool(self.finished.all())

    def unfinished(self, share: float) -> Tensor | None:
        """[n] which of the live ones go on, once no more than ``share`` of them do."""
        rows = (~self.finished[self.live]).nonzero()[:, 0]
        return rows if len(rows) <= share * len(self.live) else None

    def _holds_stop_string(self) -> Tensor:
        """Looks at as many last tokens as the longest stop string has bytes, plus one: a rare
        letter may be a token a byte."""
        window = max(len(stop.encode()) for stop in self.sampling.stop) + 1
        start = max(0, self.num_tokens - window)
        tails = self.policy.processor.batch_decode(
            self.tokens[self.live, start : self.num_tokens], skip_special_tokens=True
        )
        found = [any(stop in tail for stop in self.sampling.stop) for tail in tails]
        return torch.tensor(found, device=self.device)

    def completions(self) -> list[Completion]:
        """What was drawn, as records."""
        lengths = self.lengths.clamp(max=self.num_tokens).tolist()
        tokens, logprobs = self.tokens.tolist(), self.logprobs.tolist()
        ids = [row[:n] for row, n in zip(tokens, lengths, strict=True)]
        texts = self.policy.processor.batch_decode(ids, skip_special_tokens=True)
        return [
            Completion(
                text=text, token_ids=tuple(row), logprobs=tuple(values[: len(row)]),
                truncated=not done,
            )
            for text, row, values, done in zip(
                texts, ids, logprobs, self.finished.tolist(), strict=True
            )
        ]  # fmt: skip
