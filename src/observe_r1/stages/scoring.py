"""How likely a model finds responses that are there already: validation losses, perplexities.

All responses to one prompt are computed in one packed row, so prompt and pictures are there once.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from observe_r1.config.spans import Spans
from observe_r1.data.traces import TraceSet
from observe_r1.policy.load import Policy
from observe_r1.policy.pack import pack_group, split_group
from observe_r1.stages.examples import Example, ExampleMaker


@torch.no_grad()
def example_logprobs(policy: Policy, examples: Sequence[Example]) -> Iterator[tuple[int, Tensor]]:
    """The place of each example and its tokens' log-probs [T], prompt by prompt."""
    budget = policy.config.max_tokens_per_microbatch
    for places in _by_prompt(examples):
        first = examples[places[0]]
        prompt = policy.encode(first.sample, first.system_prompt)
        lengths = [len(examples[i].ids_T) for i in places]
        for part in split_group(prompt.length, lengths, budget, f"Sample '{first.sample.id}'"):
            chosen = [places[i] for i in part]
            row = pack_group(prompt, [examples[i].ids_T for i in chosen])
            logprobs_N = policy.packed([row]).logprobs_N
            yield from zip(chosen, logprobs_N.split([lengths[i] for i in part]), strict=True)


def _by_prompt(examples: Sequence[Example]) -> list[list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for place, example in enumerate(examples):
        found.setdefault((example.sample.id, example.system_prompt), []).append(place)
    return list(found.values())


def mean_loss(policy: Policy, examples: Sequence[Example]) -> float:
    """Mean over the learnt tokens of the negative log-prob."""
    total = count = 0.0
    for place, logprobs_T in example_logprobs(policy, examples):
        learnt = torch.tensor(examples[place].is_learnt_T, device=logprobs_T.device)
        total -= float(logprobs_T[learnt].sum())
        count += float(learnt.sum())
    return total / count


def measure_perplexity(policy: Policy, traces: TraceSet) -> TraceSet:
    """The traces with their perplexity under the policy, where it is not known yet."""
    unknown = [i for i, row in enumerate(traces.rows) if row.perplexity is None]
    maker = ExampleMaker(policy, Spans())
    examples = [maker.make(traces.rows[i], traces.sample(traces.rows[i])) for i in unknown]
    rows = list(traces.rows)
    for place, logprobs_T in example_logprobs(policy, examples):
        row = rows[unknown[place]]
        rows[unknown[place]] = replace(row, perplexity=math.exp(-float(logprobs_T.mean())))
    return traces.with_rows(rows)


def count_tokens(policy: Policy, traces: TraceSet) -> TraceSet:
    """The traces with their length in the policy's tokens, where nobody has counted them."""
    maker = ExampleMaker(policy, Spans())
    rows = [
        row if row.num_tokens is not None
        else replace(row, num_tokens=len(maker.make(row, traces.sample(row)).ids_T))
        for row in traces.rows
    ]  # fmt: skip
    return traces.with_rows(rows)
