"""Logits → tokens. Every token has a random number of its own, fixed by seed, step and sample.

A token is where the cumulative distribution passes its random number. The numbers of a sample do
not depend on what else is in the batch, on the order of the prompts or on which sequences have
finished, so a run repeats.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from observe_r1.config.rollout import Sampling


def random_numbers(
    names_P: Sequence[str], *, group_size: int, num_tokens: int, seed: int, step: int
) -> Tensor:
    """[P, G, T] in [0, 1)."""
    rows = []
    for own in sample_seeds(names_P, seed, step):
        generator = torch.Generator().manual_seed(own)
        rows.append(torch.rand(group_size, num_tokens, generator=generator))
    return torch.stack(rows)


def sample_seeds(names_P: Iterable[str], seed: int, step: int) -> Iterator[int]:
    """A seed a sample; a name drawn twice in one batch gets another one each time."""
    seen: Counter[str] = Counter()
    for name in names_P:
        yield stable_seed(seed, step, name, seen[name])
        seen[name] += 1


def own_seed(seed: int, names_P: Sequence[str], rank: int) -> int:
    """The seed of one of several processes that share a batch out. It is that of all, so that a
    draw does not depend on their number, unless a name is there twice: two shares may then both
    hold it as their first, and must not draw the same."""
    repeats = len(set(names_P)) < len(names_P)
    return stable_seed(seed, rank) if repeats and rank else seed


def stable_seed(*parts: object) -> int:
    """The same 63 bits for the same parts, in every process and version of Python."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def draw(logprobs_V: Tensor, randoms: Tensor, sampling: Sampling) -> Tensor:
    """[B, V] log-probs and one random number a row → [B] token ids."""
    if sampling.is_greedy:
        return logprobs_V.argmax(-1)
    if sampling.is_filtered:
        logprobs_V = keep_likely(logprobs_V, sampling)
    cumulative = logprobs_V.exp().cumsum(-1)
    # Divided by the total, the last entry is exactly 1 and a random number is always below it.
    cumulative /= cumulative[:, -1:].clone()
    tokens = torch.searchsorted(cumulative, randoms[:, None], right=True)
    # A GPU adds up in parallel, so that its sums may dip where nothing is added: what has no
    # probability must not be drawn there.
    impossible = logprobs_V.gather(-1, tokens).isneginf()
    return torch.where(impossible, logprobs_V.argmax(-1, keepdim=True), tokens)[:, 0]


def keep_likely(logprobs_V: Tensor, sampling: Sampling) -> Tensor:
    """Top-k, top-p and min-p: everything else to -inf. The likeliest token always stays."""
    if sampling.min_p > 0.0:
        lowest = logprobs_V.max(-1, keepdim=True).values + torch.tensor(sampling.min_p).log()
        logprobs_V = logprobs_V.masked_fill(logprobs_V < lowest, float("-inf"))
    if 0 < sampling.top_k < logprobs_V.shape[-1]:
        lowest = logprobs_V.topk(sampling.top_k, -1).values[:, -1:]
        logprobs_V = logprobs_V.masked_fill(logprobs_V < lowest, float("-inf"))
    if sampling.top_p < 1.0:
        ordered, index = logprobs_V.softmax(-1).sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        drop = (before >= sampling.top_p).scatter(-1, index, before >= sampling.top_p)
        logprobs_V = logprobs_V.masked_fill(drop, float("-inf"))
    return logprobs_V


def end_flags(num_vocabulary: int, end_ids: Iterable[int], device: torch.device) -> Tensor:
    """[V] True where a token ends a completion: one look-up a step instead of a search."""
    flags = torch.zeros(num_vocabulary, dtype=torch.bool, device=device)
    flags[torch.tensor(sorted(end_ids), dtype=torch.long, device=device)] = True
    return flags
