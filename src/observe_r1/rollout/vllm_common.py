"""What both ways to vLLM agree on: prompts that fit and are read alike, one request a prompt, the
names of weights.

A trainer that sees another prompt than the sampler trains on nonsense, so the ids that vLLM read
are compared with the trainer's. Log-probs are those that were drawn with: after top-p, top-k and
min-p they are no log-probs of the policy, so with such filters on none are handed on.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from observe_r1.config.rollout import Sampling
from observe_r1.errors import EngineError
from observe_r1.policy.family import base_model
from observe_r1.policy.load import Policy
from observe_r1.policy.weights import whole
from observe_r1.types import Completion, RolloutGroup, Sample

ADAPTER, WRAPPED = ".lora_", ".base_layer"
"""In the names of adapters and, added by PEFT, of weights that have some."""
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM makes room for; an adapter takes the next larger one."""


def prompt_ids(
    policy: Policy, sample: Sample, system_prompt: str, written: Sequence[int], new_tokens: int,
    room: int, remedy: str,
) -> tuple[int, ...]:  # fmt: skip
    """The prompt as the trainer reads it, and what is written after it; refused where vLLM would
    cut something off."""
    ids = (*policy.encode(sample, system_prompt).ids_L.tolist(), *written)
    if len(ids) + new_tokens > room:
        raise EngineError(
            f"Sample '{sample.id}' has a prompt of {len(ids)} tokens; with max_new_tokens = "
            f"{new_tokens} that is more than the {room} that vLLM has room for. {remedy}, ask for "
            "fewer new tokens, or use smaller images (--shrink-images-to of 'data import')."
        )
    return ids


def request_settings(
    policy: Policy, sampling: Sampling, group_size: int, seed: int
) -> dict[str, Any]:
    """What a request says in the words that vLLM's own class and its protocol share."""
    return {
        "n": 1 if sampling.is_greedy else group_size,  # greedy ones are all alike
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "max_tokens": sampling.max_new_tokens,
        "stop": list(sampling.stop),
        "include_stop_str_in_output": True,
        "stop_token_ids": sorted({*policy.end_ids, *sampling.stop_token_ids}),
        "seed": seed % 2**31,
    }


def make_group(
    sample: Sample, ids: tuple[int, ...], theirs: Sequence[int], drawn: Sequence[Completion],
    group_size: int, *, step: int, version: int, remedy: str,
) -> RolloutGroup:  # fmt: skip
    """What was drawn as a group; refused where vLLM has read another prompt or drawn too few."""
    if ids != tuple(theirs):
        raise EngineError(
            f"vLLM reads the prompt of sample '{sample.id}' as {len(theirs)} tokens, the trainer "
            f"as {len(ids)}, or as other ones. {remedy}"
        )
    if len(drawn) not in (1, group_size):
        raise EngineError(
            f"vLLM was asked for {group_size} completions of sample '{sample.id}' and drew "
            f"{len(drawn)}. Whatever stands between it and the trainer must hand on 'n'."
        )
    return RolloutGroup(
        sample=sample, completions_G=tuple(drawn) * (group_size // len(drawn)), step=step,
        policy_version=version, prompt_ids=ids,
    )  # fmt: skip


def lora_room(rank: int) -> int:
    """The next of the ranks that vLLM makes room for."""
    fitting = [room for room in LORA_RANKS if room >= rank]
    if not fitting:
        raise EngineError(
            f"vLLM takes adapters up to rank {LORA_RANKS[-1]}, and policy.lora.rank is {rank}. "
            "Lower it, or use engine.type=shared_prefill."
        )
    return fitting[0]


def trained_weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """What is trained: names as the model has them, and tensors, one at a time."""
    return named_weights(policy, lambda parameter: parameter.requires_grad)


def named_weights(
    policy: Policy, choose: Callable[[Tensor], bool] = lambda _: True
) -> Iterator[tuple[str, Tensor]]:
    """Those of the model without its adapters. Tied weights are sent under both names: given the
    embeddings alone, vLLM keeps the old output head."""
    for name, parameter in base_model(policy.model).named_parameters(remove_duplicate=False):
        if ADAPTER not in name and choose(parameter):
            yield name.replace(WRAPPED, ""), whole(parameter.detach())
