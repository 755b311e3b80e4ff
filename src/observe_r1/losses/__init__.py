"""What is minimised: ``LossInputs`` in, ``LossOutput`` out; one row a loss.

    clipped.py         GRPO, DAPO, Dr.GRPO
    sequence_ratio.py  GSPO
    clipped_weight.py  CISPO
    reduce.py          token, completion and constant-length means, over the whole batch
    kl.py              the three estimators

To add one: its config in ``config/loss.py``, a function here, a row in the table.
"""

from collections.abc import Callable
from typing import Any

from observe_r1.losses.clipped import clipped
from observe_r1.losses.clipped_weight import clipped_weight
from observe_r1.losses.inputs import Denominators, LossInputs, LossOutput, Stat
from observe_r1.losses.kl import kl_estimate, take_kl_from_advantages
from observe_r1.losses.reduce import token_coefficients
from observe_r1.losses.sequence_ratio import sequence_ratio

LOSSES: dict[str, Callable[[LossInputs, Any], LossOutput]] = {
    "clipped": clipped,
    "sequence_ratio": sequence_ratio,
    "clipped_weight": clipped_weight,
}


def compute_loss(inputs: LossInputs, config: Any) -> LossOutput:
    """The policy term of ``config.type``, then what every loss shares: KL and entropy."""
    if inputs.reference_N is not None and config.kl.place == "reward":
        inputs = take_kl_from_advantages(inputs, config.kl)
    output = LOSSES[config.type](inputs, config)
    loss, stats = output.loss, dict(output.stats)
    if inputs.reference_N is not None:
        estimate = kl_estimate(inputs.logprobs_N, inputs.reference_N, config.kl.estimator)
        if config.kl.place == "loss":
            loss = loss + config.kl.coefficient * (inputs.coefficients_N * estimate).sum()
        stats["kl"] = Stat.mean(estimate.detach())
    if config.entropy:
        loss = loss - config.entropy * (inputs.coefficients_N * inputs.entropy_N).sum()
    stats["entropy"] = Stat.mean(inputs.entropy_N.detach())
    return LossOutput(loss=loss, stats=stats)


__all__ = [
    "LOSSES",
    "Denominators",
    "LossInputs",
    "LossOutput",
    "Stat",
    "compute_loss",
    "kl_estimate",
    "token_coefficients",
]
