"""Our losses equal those of TRL's GRPOTrainer on the same batch, to 1e-5, gradients too.

The trainer's own loss function is called on log-probs that are given to it, off policy, with lengths
and advantages of all kinds. It follows that a recipe named after a published loss minimises that loss.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from observe_r1.config.loss import KL, ClippedLoss, ClippedWeightLoss, SequenceRatioLoss
from observe_r1.losses import Denominators, LossInputs, compute_loss, token_coefficients

LENGTHS = (5, 2, 7, 1)
ADVANTAGES = (1.3, -0.7, -2.0, 0.4)
MAX_LENGTH = 9


def tensors(seed: int, spread: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [spread * torch.randn(n, generator=generator) - 1 for n in LENGTHS]


def padded(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def trl_loss(logprobs: torch.Tensor, **settings: Any) -> torch.Tensor:
    from trl import GRPOTrainer

    arguments = {"use_bias_correction_kl": False, "delta": None, "steps_per_generation": 1}
    arguments |= {k: settings.pop(k) for k in list(settings) if k in arguments}
    old, reference, ratio = (settings.pop(k, None) for k in ("old", "reference", "ratio"))
    mask = padded([torch.ones(n) for n in LENGTHS])
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logprobs, torch.zeros_like(logprobs), None),
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        current_gradient_accumulation_steps=1, max_completion_length=MAX_LENGTH, use_vllm=ratio is not None,
        vllm_importance_sampling_correction=True, _entropy_bonus_enabled=False, beta=0.0,
        importance_sampling_level="token", epsilon_low=0.2, epsilon_high=0.2,
        args=SimpleNamespace(**arguments), model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            num_processes=1, reduce=lambda x, reduction: x, gather=lambda x: x, unwrap_model=lambda x: x
        ),
    )  # fmt: skip
    for name, value in settings.items():
        setattr(trainer, name, value)
    from collections import defaultdict

    trainer._metrics = {"train": defaultdict(list)}
    batch = {
        "prompt_ids": torch.zeros(4, 1, dtype=int), "prompt_mask": torch.ones(4, 1, dtype=int),
        "completion_ids": torch.zeros_like(mask, dtype=int), "completion_mask": mask,
        "advantages": torch.tensor(ADVANTAGES), "old_per_token_logps": old,
        "ref_per_token_logps": reference, "importance_sampling_ratio": ratio,
        "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    return GRPOTrainer._compute_loss(trainer, None, batch)


def our_loss(
    logprobs: list[torch.Tensor], config: Any, **given: list[torch.Tensor]
) -> torch.Tensor:
    sizes = torch.tensor(LENGTHS)
    denominators = Denominators(
        num_tokens=sum(LENGTHS), num_completions=len(LENGTHS), max_new_tokens=MAX_LENGTH
    )
    coefficients = token_coefficients(LENGTHS, [1.0] * 4, denominators, config.reduction)
    joined = {name: torch.cat(rows) for name, rows in given.items()}
    inputs = LossInputs(
        logprobs_N=torch.cat(logprobs),
        old_logprobs_N=joined.get("old"),
        advantages_N=torch.tensor(ADVANTAGES).repeat_interleave(sizes),
        coefficients_N=torch.tensor(coefficients).repeat_interleave(sizes),
        completion_N=torch.arange(4).repeat_interleave(sizes),
        entropy_N=torch.zeros(sum(LENGTHS)),
        sampler_logprobs_N=joined.get("sampler"),
        reference_N=joined.get("reference"),
    )
    return compute_loss(inputs, config).loss


CASES = {
    "grpo": (ClippedLoss(), {"loss_type": "grpo"}),
    "bnpo": (ClippedLoss(reduction="token_mean"), {"loss_type": "bnpo"}),
    "dapo": (
        ClippedLoss(reduction="token_mean", clip_high=0.28),
        {"loss_type": "dapo", "epsilon_high": 0.28},
    ),
    "dr_grpo": (ClippedLoss(reduction="constant_length"), {"loss_type": "dr_grpo"}),
    "two-sided": (ClippedLoss(dual_clip=1.5), {"loss_type": "grpo", "delta": 1.5}),
    "gspo": (
        SequenceRatioLoss(clip_low=0.1, clip_high=0.15),
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon_low": 0.1,
         "epsilon_high": 0.15},
    ),
    "cispo": (ClippedWeightLoss(clip_high=0.4), {"loss_type": "cispo", "epsilon_high": 1.4}),
    "kl in the loss": (
        ClippedLoss(kl=KL(coefficient=0.3, estimator="k3")), {"loss_type": "grpo", "beta": 0.3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("on_policy", [False, True], ids=["off policy", "on policy"])
@pytest.mark.parametrize("name", CASES)
def test_a_loss_and_its_gradient_equal_trls(name: str, on_policy: bool) -> None:
    config, settings = CASES[name]
    old, reference = tensors(1, 0.3), tensors(2, 0.3)
    settings = dict(settings) | ({} if on_policy else {"old": padded(old)})
    given = {} if on_policy else {"old": old}
    if "beta" in settings:
        settings["reference"], given["reference"] = padded(reference), reference
    theirs = [row.requires_grad_() for row in tensors(3, 0.3)]
    ours = [row.requires_grad_() for row in tensors(3, 0.3)]
    wanted, found = trl_loss(padded(theirs), **settings), our_loss(ours, config, **given)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
    wanted.backward()
    found.backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=1e-5)


def test_the_truncated_importance_weight_equals_trls() -> None:
    old, sampler = tensors(1, 0.3), tensors(4, 0.6)
    ratio = padded([(a - b).exp().clamp(max=1.2) for a, b in zip(old, sampler, strict=True)])
    wanted = trl_loss(padded(tensors(3, 0.3)), loss_type="grpo", old=padded(old), ratio=ratio)
    config = ClippedLoss(truncated_importance=1.2)
    found = our_loss(tensors(3, 0.3), config, old=old, sampler=sampler)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
