"""How token losses become one number: a coefficient a token, so that loss = Σ coefficient · loss.

    token_mean       w / Σ tokens                     long completions pull more (DAPO)
    sequence_mean    w / (completions · own length)   every completion pulls the same (GRPO)
    constant_length  w / (completions · max length)   no length in the gradient (Dr.GRPO)

All denominators are those of the whole batch of an update, over all micro-batches and processes.
"""

from collections.abc import Sequence

from observe_r1.losses.inputs import Denominators


def token_coefficients(
    lengths: Sequence[int], weights: Sequence[float], denominators: Denominators, reduction: str
) -> list[float]:
    """The coefficient of each token of each completion (it is the same within a completion)."""
    return [
        weight * _share(length, denominators, reduction)
        for length, weight in zip(lengths, weights, strict=True)
    ]


def _share(length: int, denominators: Denominators, reduction: str) -> float:
    match reduction:
        case "token_mean":
            return 1.0 / max(denominators.num_tokens, 1e-9)
        case "sequence_mean":
            return 1.0 / (max(denominators.num_completions, 1e-9) * length)
        case _:
            return 1.0 / (max(denominators.num_completions, 1e-9) * denominators.max_new_tokens)
