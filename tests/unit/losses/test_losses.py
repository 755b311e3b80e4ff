"""Losses, worked out by hand."""

import math

import pytest
import torch

from observe_r1.config.loss import KL, ClippedLoss, ClippedWeightLoss, SequenceRatioLoss
from observe_r1.losses import (
    Denominators,
    LossInputs,
    compute_loss,
    kl_estimate,
    token_coefficients,
)

TWO_AND_ONE = Denominators(num_tokens=3, num_completions=2, max_new_tokens=10)


def inputs(log_ratio, advantages, *, coefficients=None, completion=None, **more) -> LossInputs:
    """Tokens with given log-ratios: old log-probs are -1."""
    count = len(log_ratio)
    return LossInputs(
        logprobs_N=(torch.tensor(log_ratio) - 1).requires_grad_(),
        old_logprobs_N=torch.full((count,), -1.0),
        advantages_N=torch.tensor(advantages),
        coefficients_N=torch.tensor(coefficients or [1.0] * count),
        completion_N=torch.tensor(completion or [0] * count),
        entropy_N=torch.full((count,), 0.5),
        **more,
    )


def test_coefficients_of_the_three_reductions() -> None:
    found = {
        name: token_coefficients([2, 1], [1.0, 0.5], TWO_AND_ONE, name)
        for name in ("token_mean", "sequence_mean", "constant_length")
    }
    assert found["token_mean"] == pytest.approx([1 / 3, 1 / 6])
    assert found["sequence_mean"] == pytest.approx([1 / 4, 1 / 4])
    assert found["constant_length"] == pytest.approx([1 / 20, 1 / 40])


def test_a_ratio_is_clipped_only_where_it_went_too_far() -> None:
    ratios, advantages = [1.5, 1.5, 0.5, 0.5], [1.0, -1.0, 1.0, -1.0]
    given = inputs([math.log(r) for r in ratios], advantages)
    output = compute_loss(given, ClippedLoss())
    assert output.loss.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8))
    assert output.stats["clip_high"].value == output.stats["clip_low"].value == 0.25
    output.loss.backward()
    assert [g != 0 for g in given.logprobs_N.grad.tolist()] == [False, True, True, False]


def test_the_second_side_bounds_what_a_bad_token_can_do() -> None:
    loss = compute_loss(inputs([math.log(9.0)], [-1.0]), ClippedLoss(dual_clip=3.0)).loss
    assert loss.item() == pytest.approx(3.0)


def test_a_sequence_ratio_is_the_geometric_mean_of_its_tokens() -> None:
    config = SequenceRatioLoss(clip_low=0.5, clip_high=0.5)
    given = inputs(
        [math.log(1.2), math.log(1.2 * 1.0), math.log(3.0)], [1.0, 1.0, 1.0],
        coefficients=[0.25, 0.25, 0.5], completion=[0, 0, 1],
    )  # fmt: skip
    assert compute_loss(given, config).loss.item() == pytest.approx(-(0.5 * 1.2 + 0.5 * 1.5))


def test_a_clipped_weight_never_takes_a_gradient_away() -> None:
    given = inputs([math.log(5.0)], [2.0])
    compute_loss(given, ClippedWeightLoss(clip_high=0.2)).loss.backward()
    assert given.logprobs_N.grad.item() == pytest.approx(-2.4)


def test_strictly_on_policy_the_loss_is_minus_the_advantage_and_its_gradient_too() -> None:
    given = LossInputs(
        logprobs_N=torch.tensor([-0.3]).requires_grad_(), old_logprobs_N=None,
        advantages_N=torch.tensor([1.7]), coefficients_N=torch.ones(1),
        completion_N=torch.tensor([0]), entropy_N=torch.zeros(1),
    )  # fmt: skip
    loss = compute_loss(given, ClippedLoss()).loss
    loss.backward()
    assert loss.item() == pytest.approx(-1.7)
    assert given.logprobs_N.grad.item() == pytest.approx(-1.7)


def test_estimators_of_kl() -> None:
    logprobs, reference = torch.tensor([-0.5]), torch.tensor([-1.0])
    assert kl_estimate(logprobs, reference, "k1").item() == pytest.approx(0.5)
    assert kl_estimate(logprobs, reference, "k2").item() == pytest.approx(0.125)
    assert kl_estimate(logprobs, reference, "k3").item() == pytest.approx(math.exp(-0.5) - 0.5)


def test_kl_in_the_reward_makes_a_token_answer_for_what_follows() -> None:
    """log-ratios to the reference 0.1, 0.2 | 0.4: tokens pay 0.3, 0.2 | 0.4 times the coefficient."""
    given = inputs(
        [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], completion=[0, 0, 1],
        reference_N=torch.tensor([-1.1, -1.2, -1.4]),
    )  # fmt: skip
    config = ClippedLoss(kl=KL(coefficient=0.5, estimator="k1", place="reward"))
    output = compute_loss(given, config)
    assert output.loss.item() == pytest.approx(-(3 - 0.5 * (0.3 + 0.2 + 0.4)))


def test_the_truncated_weight_multiplies_each_tokens_loss() -> None:
    given = inputs(
        [0.0, 0.0], [1.0, 1.0], sampler_logprobs_N=torch.tensor([-1 + math.log(2), -3.0])
    )
    loss = compute_loss(given, ClippedLoss(truncated_importance=2.0)).loss
    assert loss.item() == pytest.approx(-(0.5 + 2.0))


def test_an_entropy_bonus_lowers_the_loss() -> None:
    loss = compute_loss(inputs([0.0], [1.0]), ClippedLoss(entropy=0.1)).loss
    assert loss.item() == pytest.approx(-1 - 0.05)
