"""The built-in engine: images and prompts computed once, the cache branched G ways, then decoded.

    prompts    P0 P1 P2 …            padded on the left to one length, one forward pass
    cache      P0 P1 P2 …            ─ branch ─▶   P0 P0 P0 | P1 P1 P1 | P2 P2 P2 | …
    decode     one token a live sequence a step; finished ones are dropped as soon as a quarter is

Groups of several prompts decode together, in turns of ``max_sequences``. Prompts of similar length
share a prefill, so that little is padded.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from observe_r1.config.rollout import Sampling, SharedPrefill
from observe_r1.policy.attention import row_mask, step_mask
from observe_r1.policy.family import inner_model, output_head
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import EncodedPrompt, merge_vision
from observe_r1.rollout.cache import BranchingCache
from observe_r1.rollout.sampling import draw, end_flags, random_numbers
from observe_r1.types import Completion, RolloutGroup, Sample


class SharedPrefillEngine:
    """Generates with the policy's own weights, so there is nothing to sync."""

    def __init__(self, policy: Policy, config: SharedPrefill | None = None) -> None:
        self.policy = policy
        self.config = config or SharedPrefill()

    def generate(
        self,
        samples_P: Sequence[Sample],
        *,
        group_size: int,
        sampling: Sampling,
        system_prompt: str,
        seed: int,
        step: int = 0,
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order."""
        if not samples_P:
            return []
        prompts_P = [self.policy.encode(sample, system_prompt) for sample in samples_P]
        randoms = random_numbers(
            samples_P, group_size=group_size, num_tokens=sampling.max_new_tokens,
            seed=seed, step=step,
        ).unflatten(0, (-1, group_size))  # fmt: skip
        groups: dict[int, RolloutGroup] = {}
        for part in self._turns(prompts_P, group_size):
            completions = self._decode(
                [prompts_P[i] for i in part], randoms[part].flatten(0, 1), group_size, sampling
            )
            for number, i in enumerate(part):
                groups[i] = RolloutGroup(
                    sample=samples_P[i],
                    completions_G=tuple(completions[number * group_size : (number + 1) * group_size]),
                    step=step,
                    policy_version=step,
                    prompt_ids=tuple(prompts_P[i].ids_L.tolist()),
                )
        return [groups[i] for i in range(len(samples_P))]

    def sync(self, policy: Policy) -> None:
        """Sampler and trainer are the same module."""
        self.policy = policy

    def close(self) -> None:
        """Nothing is held between calls."""

    def _turns(self, prompts_P: Sequence[EncodedPrompt], group_size: int) -> Iterator[list[int]]:
        """Prompts that are computed together: similar lengths, within both limits."""
        turn: list[int] = []
        for i in sorted(range(len(prompts_P)), key=lambda i: prompts_P[i].length):
            longest = prompts_P[i].length  # sorted: the newest is the longest
            too_many = (len(turn) + 1) * group_size > self.config.max_sequences
            too_long = (len(turn) + 1) * longest > self.config.prefill_tokens
            if turn and (too_many or too_long):
                yield turn
                turn = []
            turn.append(i)
        yield turn

    @torch.no_grad()
    def _decode(
        self, prompts: list[EncodedPrompt], randoms: Tensor, group_size: int, sampling: Sampling
    ) -> list[Completion]:
        decoder = Decoder(self.policy, prompts, group_size, sampling)
        randoms = randoms.to(self.policy.device)
        for column in range(sampling.max_new_tokens):
            decoder.take(randoms[:, column])
            if decoder.is_done:
                break
            decoder.advance()
        return decoder.completions()


class Decoder:
    """The sequences of one turn: what was sampled, what is still alive, and the cache."""

    def __init__(
        self, policy: Policy, prompts: list[EncodedPrompt], group_size: int, sampling: Sampling
    ) -> None:
        self.policy = policy
        self.sampling = sampling
        self.device = policy.device
        family = policy.family
        count, limit = len(prompts) * group_size, sampling.max_new_tokens
        ends = {*policy.end_ids, *sampling.stop_token_ids}
        self.is_end_V = end_flags(family.num_vocabulary, ends, self.device)
        self.tokens = torch.zeros(count, limit, dtype=torch.long, device=self.device)
        self.logprobs = torch.zeros(count, limit, device=self.device)
        self.lengths = torch.full((count,), limit, device=self.device)
        self.finished = torch.zeros(count, dtype=torch.bool, device=self.device)
        self.live = torch.arange(count, device=self.device)
        self.num_tokens = 0
        self._prefill(prompts, group_size)

    @property
    def is_done(self) -> bool:
        return self.num_tokens == self.sampling.max_new_tokens or bool(self.finished.all())

    def _prefill(self, prompts: list[EncodedPrompt], group_size: int) -> None:
        """One forward pass over all prompts; branch its cache."""
        longest = max(p.length for p in prompts)
        ids = _left_padded([p.ids_L for p in prompts], longest, 0).to(self.device)
        positions = _left_padded([p.positions for p in prompts], longest, 0).to(self.device)
        blocks = _left_padded([p.blocks_L for p in prompts], longest, -1).to(self.device)
        lengths = torch.tensor([p.length for p in prompts], device=self.device)
        is_pad = torch.arange(longest, device=self.device) < (longest - lengths)[:, None]
        family, model = self.policy.family, self.policy.model
        num_layers = model.config.get_text_config().num_hidden_layers
        cache = BranchingCache.empty(num_layers, longest)
        vision = {k: v.to(self.device) for k, v in merge_vision(prompts).items()}
        if family.media_type_name == "mm_token_type_ids":
            vision["mm_token_type_ids"] = (blocks >= 0).int()
        hidden = inner_model(model)(
            input_ids=ids,
            attention_mask=row_mask(
                torch.full_like(ids, -1), positions[:, 0], blocks, family, is_pad
            ),
            position_ids=positions.transpose(0, 1) if family.has_mrope else positions[:, 0],
            past_key_values=cache,
            use_cache=True,
            **vision,
        ).last_hidden_state[:, -1]
        room = longest + self.sampling.max_new_tokens
        self.cache = cache.branch(group_size, room)
        self.visible = torch.ones(len(prompts), room, dtype=torch.bool, device=self.device)
        self.visible[:, :longest] = ~is_pad
        self.visible = self.visible.repeat_interleave(group_size, 0)
        self.key_positions = torch.zeros(len(prompts), room, dtype=torch.long, device=self.device)
        self.key_positions[:, :longest] = positions[:, 0]
        after = positions.amax((1, 2)) + 1
        new = torch.arange(self.sampling.max_new_tokens, device=self.device)
        self.key_positions[:, longest:] = after[:, None] + new
        self.key_positions = self.key_positions.repeat_interleave(group_size, 0)
        self.num_keys = longest
        self.logprobs_V = self._read(hidden).repeat_interleave(group_size, 0)

    def _read(self, hidden: Tensor) -> Tensor:
        """[B, H] → [B, V], exactly as the trainer reads it."""
        return self.policy.packed.read(
            output_head(self.policy.model)(hidden), self.sampling.temperature
        )

    def take(self, randoms: Tensor) -> None:
        """Draw one token for every live sequence."""
        tokens = draw(self.logprobs_V, randoms[self.live], self.sampling)
        column = self.num_tokens
        self.tokens[self.live, column] = tokens
        self.logprobs[self.live, column] = self.logprobs_V.gather(-1, tokens[:, None])[:, 0]
        self.num_tokens += 1
        ended = self.is_end_V[tokens]
        if self.sampling.stop:
            ended |= self._holds_stop_string()
        newly = self.live[ended & ~self.finished[self.live]]
        self.lengths[newly] = self.num_tokens
        self.finished[newly] = True

    def advance(self) -> None:
        """Feed the drawn tokens back in and read the next distribution."""
        self._retire()
        family = self.policy.family
        last = self.tokens[self.live, self.num_tokens - 1]
        positions = self.key_positions[:, self.num_keys]
        self.num_keys += 1
        hidden = inner_model(self.policy.model)(
            input_ids=last[:, None],
            attention_mask=step_mask(
                self.visible[:, : self.num_keys], self.key_positions[:, : self.num_keys],
                positions, family,
            ),
            position_ids=positions[None, :, None].expand(3, -1, -1)
            if family.has_mrope else positions[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[:, -1]  # fmt: skip
        self.logprobs_V = self._read(hidden)

    def _retire(self) -> None:
        """Drop finished sequences once they are a quarter of what is computed."""
        alive = ~self.finished[self.live]
        rows = alive.nonzero()[:, 0]
        if len(rows) > 0.75 * len(self.live):
            return
        self.cache.select(rows)
        self.live = self.live[rows]
        self.visible = self.visible[rows]
        self.key_positions = self.key_positions[rows]

    def _holds_stop_string(self) -> Tensor:
        """Looks at as many last tokens as the longest stop string has letters, plus one."""
        window = max(len(stop) for stop in self.sampling.stop) + 1
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


def _left_padded(tensors: list[Tensor], length: int, value: int) -> Tensor:
    """Stack [..., L] tensors of different L, the end of each at the right."""
    return torch.stack(
        [torch.nn.functional.pad(t, (length - t.shape[-1], 0), value=value) for t in tensors]
    )
