"""The built-in engine: images and prompts computed once, the cache branched G ways, then decoded.

    prompts    [ P0 | P1 | P2 … ]    one behind the other in one row, one forward pass, no padding
    cache      P0 P1 P2 …            ─ branch ─▶   P0: s0 s1 s2 | P1: s3 s4 s5 | P2: s6 s7 s8 | …
    decode     one token a live sequence a step (``decoder.py``)

Groups of several prompts decode together, in turns of ``max_sequences``, or of as many as a GPU has
room for at their longest. Prompts of similar length share a turn, so that their keys are padded
little.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from observe_r1.config.rollout import SHARE_FOR_COMPLETIONS, Sampling, SharedPrefill
from observe_r1.errors import ModelError
from observe_r1.policy.family import base_model
from observe_r1.policy.load import Policy
from observe_r1.policy.pack import pack_group
from observe_r1.policy.prompts import EncodedPrompt, extend
from observe_r1.policy.self_check import settle, tolerance
from observe_r1.policy.weights import copy_trained
from observe_r1.rollout.decoder import Decoder
from observe_r1.rollout.plain import PlainDecoder
from observe_r1.rollout.sampling import random_numbers
from observe_r1.types import Completion, RolloutGroup, Sample

logger = logging.getLogger(__name__)

NUM_COMPARED = 3
"""Prompts of a family that is not tested that are computed both ways."""


class SharedPrefillEngine:
    """Generates with the policy's own weights, or with those of a replica when it is sharded."""

    is_apart = False
    room: int | None = None

    def __init__(self, policy: Policy, config: SharedPrefill | None = None) -> None:
        self.policy = policy
        self.config = config or SharedPrefill()
        fixed = self.config.fixed_shapes
        self.fixed_shapes = policy.device.type == "cuda" if fixed is None else fixed
        self.version = 0
        self._can_share: bool | None = None

    def generate(
        self,
        samples_P: Sequence[Sample],
        *,
        group_size: int,
        sampling: Sampling,
        system_prompt: str,
        seed: int,
        step: int = 0,
        written_P: Sequence[Sequence[int]] | None = None,
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order."""
        prompts_P = [self.policy.encode(sample, system_prompt) for sample in samples_P]
        if written_P is not None:
            prompts_P = [extend(p, ids) for p, ids in zip(prompts_P, written_P, strict=True)]
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
        """G completions of each prompt. Names fix the random numbers."""
        if not prompts_P:
            return []
        randoms = random_numbers(
            names_P, group_size=group_size, num_tokens=sampling.max_new_tokens, seed=seed, step=step
        )
        settle(self.policy.packed, prompts_P[:NUM_COMPARED])
        if not self._shares(prompts_P[0]):
            return [
                PlainDecoder(self.policy, prompt, own, sampling).run()
                for prompt, own in zip(prompts_P, randoms, strict=True)
            ]
        found: dict[int, list[Completion]] = {}
        limit = min(self.config.max_sequences, sequences_with_room(self.policy, sampling))
        for part in self._turns(prompts_P, group_size, limit):
            drawn = Decoder(
                self.policy, [prompts_P[i] for i in part], randoms[part].flatten(0, 1), group_size,
                sampling, fixed=self.fixed_shapes,
            ).run()  # fmt: skip
            for number, i in enumerate(part):
                found[i] = drawn[number * group_size : (number + 1) * group_size]
        return [found[i] for i in range(len(prompts_P))]

    def _shares(self, prompt: EncodedPrompt) -> bool:
        """Whether prompts are computed once for their groups; found out once, for families that are
        not tested."""
        if self._can_share is None:
            fixed = self.fixed_shapes
            self._can_share = self.policy.family.is_tested or shares_exactly(
                self.policy, prompt, fixed=fixed
            )
        return self._can_share

    def sync(self, policy: Policy, version: int = 0) -> None:
        """Nothing to copy when sampler and trainer are the same module."""
        self.version = version
        if policy.packed is not self.policy.packed:
            copy_trained(policy.packed, self.policy.packed)

    def close(self) -> None:
        """Nothing is held between calls."""

    def _turns(
        self, prompts_P: Sequence[EncodedPrompt], group_size: int, max_sequences: int
    ) -> Iterator[list[int]]:
        """Prompts that are computed together: similar lengths, within both limits."""
        turn: list[int] = []
        for i in sorted(range(len(prompts_P)), key=lambda i: prompts_P[i].length):
            longest = prompts_P[i].length  # sorted: the newest is the longest
            too_many = (len(turn) + 1) * group_size > max_sequences
            too_long = sum(prompts_P[j].length for j in turn) + longest > self.config.prefill_tokens
            if turn and (too_many or too_long):
                yield turn
                turn = []
            turn.append(i)
        yield turn


def shares_exactly(policy: Policy, prompt: EncodedPrompt, *, fixed: bool) -> bool:
    """Whether what is drawn from the shared cache has the log-probs that the trainer reads; a model
    of which that is not true of prompts read one by one either is refused."""
    sampling = Sampling(max_new_tokens=8)
    randoms = torch.linspace(0.1, 0.9, 16).view(2, 8)
    name = base_model(policy.model).config.model_type
    if not policy.packed.separate:
        decoder = partial(Decoder, policy, [prompt], randoms, 2, sampling, fixed=fixed)
        problem = difference_from_trainer(policy, prompt, lambda: decoder().run())
        if problem is None:
            return True
        logger.warning(
            "The cache of %s %s, so its prompts are read without sharing: slower, and right.",
            name, problem,
        )  # fmt: skip
    plain = partial(PlainDecoder, policy, prompt, randoms, sampling)
    if problem := difference_from_trainer(policy, prompt, lambda: plain().run()):
        raise ModelError(
            f"{name} cannot be sampled here: read without any sharing, it {problem}. Choose "
            "another model, or sample it with vLLM (engine.type=vllm)."
        )
    return False


@torch.no_grad()
def difference_from_trainer(
    policy: Policy, prompt: EncodedPrompt, draw: Callable[[], list[Completion]]
) -> str | None:
    """What is wrong with log-probs that were drawn with; None: nothing."""
    try:
        drawn = draw()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model of another build raises
        return f"cannot be computed ({type(error).__name__}: {error})"
    row = pack_group(prompt, [completion.token_ids for completion in drawn])
    trainer = policy.packed([row]).logprobs_N
    sampler = trainer.new_tensor([value for c in drawn for value in c.logprobs])
    difference = float((trainer - sampler).abs().max())
    if difference <= tolerance(policy.packed):
        return None
    return f"gives log-probs that differ by {difference:.2g} from the trainer's"


def sequences_with_room(policy: Policy, sampling: Sampling) -> int:
    """How many completions fit at their longest; a CPU has no such limit."""
    free = free_memory(policy.device)
    if free is None:
        return sys.maxsize
    config = policy.model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = policy.family.head_width
    numbers = 2 * config.num_hidden_layers * heads * width * sampling.max_new_tokens
    return max(1, int(SHARE_FOR_COMPLETIONS * free / (numbers * policy.model.dtype.itemsize)))


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken, what PyTorch holds in reserve included; None on a CPU."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
