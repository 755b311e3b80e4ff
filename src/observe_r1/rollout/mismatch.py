"""How far sampler and trainer disagree on the tokens that were sampled.

They are the same numbers when the built-in engine samples. vLLM computes in its own kernels and
precision; what is left over is reported here and corrected by ``loss.truncated_importance``.
"""

from torch import Tensor

from observe_r1.losses.inputs import Stat


def mismatch_stats(trainer_N: Tensor, sampler_N: Tensor) -> dict[str, Stat]:
    """Mean absolute difference of log-probs, and the k3 estimate of KL(sampler || trainer)."""
    difference = trainer_N - sampler_N
    return {
        "mismatch/logprob": Stat.mean(difference.abs()),
        "mismatch/kl": Stat.mean(difference.exp() - 1 - difference),
    }
