"""Hidden states → log-probs and entropy, in chunks, so that no [B, T, V] logits ever exist.

A log-prob is log_softmax(logits / temperature) with suppressed ids at -inf, before top-p, top-k and
min-p. Sampler and trainer both take it from ``scaled_logprobs``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def scaled_logprobs(logits: Tensor, temperature: float, suppressed: Tensor | None) -> Tensor:
    """[..., V] in float32. Temperature 0 (greedy) reports the undivided distribution."""
    logits = logits.float()
    if temperature not in (0.0, 1.0):
        logits = logits / temperature
    if suppressed is not None and len(suppressed):
        logits = logits.index_fill(-1, suppressed, float("-inf"))
    return logits.log_softmax(-1)


def chunked_logprobs(
    hidden_N: Tensor, targets_N: Tensor, head: nn.Module, read: Callable[[Tensor], Tensor],
    *, chunk: int, with_entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Log-prob of each target and entropy of its distribution.

    ``read`` turns logits into log-probs. Chunks are computed again in the backward pass; a single
    chunk keeps its logits, which is faster and no larger.
    """

    def one_chunk(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logprobs_V = read(head(hidden))
        chosen = logprobs_V.gather(-1, targets[:, None])[:, 0]
        with torch.set_grad_enabled(with_entropy_gradient and torch.is_grad_enabled()):
            entropy = -(logprobs_V.exp() * logprobs_V.masked_fill(logprobs_V.isneginf(), 0)).sum(-1)
        return chosen, entropy

    if len(targets_N) <= chunk:
        return one_chunk(hidden_N, targets_N)
    pieces = [
        checkpoint(one_chunk, h, t, use_reentrant=False)
        for h, t in zip(hidden_N.split(chunk), targets_N.split(chunk), strict=True)
    ]
    logprobs, entropies = zip(*pieces, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)
