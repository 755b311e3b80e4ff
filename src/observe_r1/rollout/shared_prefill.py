"""The built-in engine: images and prompts computed once, the cache branched G ways, then decoded.

    prompts    P0 P1 P2 …            padded on the left to one length, one forward pass
    cache      P0 P1 P2 …            ─ branch ─▶   P0: s0 s1 s2 | P1: s3 s4 s5 | P2: s6 s7 s8 | …
    decode     one token a live sequence a step; finished ones are dropped as soon as a quarter is

Groups of several prompts decode together, in turns of ``max_sequences``. Prompts of similar length
share a prefill, so that little is padded.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from observe_r1.config.rollout import Sampling, SharedPrefill
from observe_r1.policy.attention import placeholder, prefill_masks
from observe_r1.policy.family import inner_model, output_head
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import EncodedPrompt
from observe_r1.policy.weights import copy_trained
from observe_r1.rollout.cache import BranchedCache, BranchLayout, prompt_cache
from observe_r1.rollout.sampling import draw, end_flags, random_numbers
from observe_r1.types import Completion, RolloutGroup, Sample


class SharedPrefillEngine:
    """Generates with the policy's own weights, or with those of a replica when it is sharded."""

    def __init__(self, policy: Policy, config: SharedPrefill | None = None) -> None:
        self.policy = policy
        self.config = config or SharedPrefill()
        self.version = 0

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
        prompts_P = [self.policy.encode(sample, system_prompt) for sample in samples_P]
        completions_P = self.complete(
            prompts_P, [sample.id for sample in samples_P], group_size=group_size,
            sampling=sampling, seed=seed, step=step,
        )  # fmt: skip
        return [
            RolloutGroup(
                sample=sample, completions_G=tuple(completions_G), step=step,
                policy_version=self.version,
                prompt_ids=tuple(prompt.ids_L.tolist()),
            )
            for sample, prompt, completions_G in zip(
                samples_P, prompts_P, completions_P, strict=True
            )
        ]  # fmt: skip

    def complete(
        self, prompts_P: Sequence[EncodedPrompt], names_P: Sequence[str], *, group_size: int,
        sampling: Sampling, seed: int, step: int = 0,
    ) -> list[list[Completion]]:  # fmt: skip
        """G completions of each prompt; a prompt may hold text already written (``extend``), so
        this is also how decoding goes on after a stop, a branch or a merge. Names fix the random
        numbers."""
        if not prompts_P:
            return []
        randoms = random_numbers(
            names_P, group_size=group_size, num_tokens=sampling.max_new_tokens, seed=seed, step=step
        )
        found: dict[int, list[Completion]] = {}
        for part in self._turns(prompts_P, group_size):
            drawn = self._decode(
                [prompts_P[i] for i in part], randoms[part].flatten(0, 1), group_size, sampling
            )
            for number, i in enumerate(part):
                found[i] = drawn[number * group_size : (number + 1) * group_size]
        return [found[i] for i in range(len(prompts_P))]

    def sync(self, policy: Policy, version: int = 0) -> None:
        """Nothing to copy when sampler and trainer are the same module."""
        self.version = version
        if policy.packed is not self.policy.packed:
            copy_trained(policy.packed, self.policy.packed)

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
        count, limit = len(prompts) * group_size, sampling.max_new_tokens
        ends = {*policy.end_ids, *sampling.stop_token_ids}
        self.is_end_V = end_flags(policy.family.num_vocabulary, ends, self.device)
        self.tokens = torch.zeros(count, limit, dtype=torch.long, device=self.device)
        self.logprobs = torch.zeros(count, limit, device=self.device)
        self.lengths = torch.full((count,), limit, device=self.device)
        self.finished = torch.zeros(count, dtype=torch.bool, device=self.device)
        self.live = torch.arange(count, device=self.device)
        self.prompt_B = self.live // group_size
        self.num_tokens = 0
        self._prefill(prompts, group_size)

    @property
    def is_done(self) -> bool:
        return self.num_tokens == self.sampling.max_new_tokens or bool(self.finished.all())

    def _prefill(self, prompts: list[EncodedPrompt], group_size: int) -> None:
        """One forward pass over all prompts; its cache is what every branch reads."""
        longest = max(p.length for p in prompts)
        ids = _left_padded([p.ids_L for p in prompts], longest, 0).to(self.device)
        positions = _left_padded([p.positions for p in prompts], longest, 0).to(self.device)
        blocks = _left_padded([p.blocks_L for p in prompts], longest, -1).to(self.device)
        lengths = torch.tensor([p.length for p in prompts], device=self.device)
        is_pad = torch.arange(longest, device=self.device) < (longest - lengths)[:, None]
        family, model = self.policy.family, self.policy.model
        prefilled = prompt_cache(model.config.get_text_config().num_hidden_layers)
        packed = self.policy.packed
        hidden = inner_model(model)(
            input_ids=ids,
            attention_mask=prefill_masks(positions[:, 0], blocks, is_pad, family),
            position_ids=positions.transpose(0, 1) if family.has_mrope else positions[:, 0],
            past_key_values=prefilled,
            use_cache=True,
            **packed.vision(prompts, self.device),
            **packed.media_types(blocks),
        ).last_hidden_state[:, -1]
        self.cache = BranchedCache(prefilled, len(self.live), self.sampling.max_new_tokens)
        self.is_pad, self.prompt_positions = is_pad, positions[:, 0]
        self.next_position = positions.amax((1, 2)) + 1
        self.logprobs_V = self._read(hidden).repeat_interleave(group_size, 0)
        self._lay_out()

    def _lay_out(self) -> None:
        """What is the same at every step until sequences are retired."""
        hidden = torch.zeros_like(self.is_pad, dtype=torch.float32)
        hidden = hidden.masked_fill(self.is_pad, float("-inf"))[:, None, None]
        self.prompt_bias = hidden if bool(self.is_pad.any()) else None
        self.full = BranchLayout(self.cache, self.prompt_B, self.prompt_bias, None)

    def _masks(self) -> Tensor | dict[str, Tensor]:
        """Placeholders for this step; in sliding layers the window has moved on by one."""
        num_keys = self.is_pad.shape[1] + self.num_tokens
        full = placeholder(self.full, 1, num_keys, self.device)
        window = self.policy.family.sliding_window
        if window is None:
            return full
        now = self.next_position + self.num_tokens - 1
        far = self.is_pad | (now[:, None] - self.prompt_positions >= window)
        prompt_bias = torch.zeros(far.shape, device=self.device).masked_fill(far, float("-inf"))
        ages = torch.arange(self.num_tokens - 1, -1, -1, device=self.device)
        own_bias = torch.zeros(len(ages), device=self.device).masked_fill(
            ages >= window, float("-inf")
        )
        near = BranchLayout(self.cache, self.prompt_B, prompt_bias[:, None, None], own_bias)
        return {
            "full_attention": full,
            "sliding_attention": placeholder(near, 1, num_keys, self.device),
        }

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
        last = self.tokens[self.live, self.num_tokens - 1]
        positions = (self.next_position + self.num_tokens - 1)[self.prompt_B][:, None]
        has_mrope = self.policy.family.has_mrope
        hidden = inner_model(self.policy.model)(
            input_ids=last[:, None],
            attention_mask=self._masks(),
            position_ids=positions.expand(3, -1, -1) if has_mrope else positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        self.logprobs_V = self._read(hidden)

    def _retire(self) -> None:
        """Drop finished sequences once they are a quarter of what is computed."""
        rows = (~self.finished[self.live]).nonzero()[:, 0]
        if len(rows) > 0.75 * len(self.live):
            return
        prompts, prompt_B = self.prompt_B[rows].unique_consecutive(return_inverse=True)
        self.cache.keep(rows, prompts)
        self.live, self.prompt_B = self.live[rows], prompt_B
        self.is_pad, self.prompt_positions = self.is_pad[prompts], self.prompt_positions[prompts]
        self.next_position = self.next_position[prompts]
        self._lay_out()

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
