"""One update, on a real model of two layers."""

import math

import pytest
import torch

import fakes
from observe_r1.config.loss import ClippedLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.rollout import Sampling
from observe_r1.errors import ConfigError, TrainingError
from observe_r1.train import optimise
from observe_r1.train.budget import Budget
from observe_r1.train.optimise import Optimiser

SIGNAL = fakes.weighted_group((1.0, 0.0, 0.0), ((20, 30, 40), (50,), (60, 70)), number=1)
SIGNAL_2 = fakes.weighted_group((0.0, 1.0), ((21, 31, 41, 51, 61), (51, 11)), number=2, images=2)
SILENT = fakes.weighted_group((1.0, 1.0), ((80, 81, 82, 83), (90, 91)), number=3)
SGD = OptimizerConfig(type="sgd", lr=1.0, grad_clip=None)


def optimiser(policy=None, loss=None, optimizer=SGD, **settings):
    return Optimiser(
        policy or fakes.tiny_policy(**settings), loss=loss or ClippedLoss(), optimizer=optimizer,
        sampling=Sampling(max_new_tokens=8), system_prompt="count", total_updates=4,
    )  # fmt: skip


def weights_after(groups, **settings) -> torch.Tensor:
    made = optimiser(**settings)
    made.update(groups)
    return torch.cat([p.detach().flatten() for p in made.policy.packed.parameters()])


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean", "constant_length"])
def test_skipping_groups_without_signal_changes_nothing(reduction, monkeypatch) -> None:
    loss = ClippedLoss(reduction=reduction)
    skipped = weights_after([SIGNAL, SILENT, SIGNAL_2], loss=loss)
    real = optimise.make_rows
    monkeypatch.setattr(
        optimise, "make_rows", lambda *args, need_all, **kw: real(*args, need_all=True, **kw)
    )
    forwarded = weights_after([SIGNAL, SILENT, SIGNAL_2], loss=loss)
    assert torch.allclose(skipped, forwarded, atol=1e-6, rtol=0)
    assert not torch.allclose(skipped, weights_after([SIGNAL, SIGNAL_2], loss=loss), atol=1e-6)


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean", "constant_length"])
def test_micro_batches_and_split_groups_change_nothing(reduction) -> None:
    loss = ClippedLoss(reduction=reduction)
    whole = weights_after([SIGNAL, SIGNAL_2], loss=loss)
    longest = max(len(encode_length(g)) for g in (SIGNAL, SIGNAL_2))
    parts = weights_after([SIGNAL, SIGNAL_2], loss=loss, max_tokens_per_microbatch=longest + 4)
    assert torch.allclose(whole, parts, atol=1e-5, rtol=0)


def encode_length(group):
    return fakes.tiny_policy().encode(group.scored.sample, "count").ids_L


def test_repeated_prompts_of_a_split_group_are_counted() -> None:
    tight = len(encode_length(SIGNAL)) + 2
    outcome = optimiser(max_tokens_per_microbatch=tight).update([SIGNAL])
    assert outcome.tokens_computed > outcome.tokens_unique
    whole = optimiser().update([SIGNAL])
    assert whole.tokens_computed == whole.tokens_unique == len(encode_length(SIGNAL)) + 3


def test_a_group_that_cannot_fit_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="max_tokens_per_microbatch = 10"):
        optimiser(max_tokens_per_microbatch=10).update([SIGNAL])


def test_rejected_groups_do_not_count() -> None:
    rejected = fakes.weighted_group((1.0, 0.0), ((1, 2), (3,)), number=5, admitted=False)
    assert torch.equal(weights_after([SIGNAL]), weights_after([SIGNAL, rejected]))


def test_completions_of_weight_zero_are_as_if_they_were_not_there() -> None:
    masked = fakes.weighted_group(
        (1.0, 0.0, 9.0), ((20, 30), (50,), (60, 70)), number=1, weights=(1.0, 1.0, 0.0)
    )
    plain = fakes.weighted_group((1.0, 0.0), ((20, 30), (50,)), number=1)
    object.__setattr__(plain, "advantages_G", masked.advantages_G[:2])
    assert torch.allclose(weights_after([masked]), weights_after([plain]), atol=1e-6)


def test_a_step_without_signal_moves_nothing_and_says_so() -> None:
    made = optimiser()
    before = [p.detach().clone() for p in made.policy.packed.parameters()]
    outcome = made.update([SILENT])
    assert not outcome.had_signal and outcome.tokens_computed == 0
    assert all(
        torch.equal(a, b) for a, b in zip(before, made.policy.packed.parameters(), strict=True)
    )


def test_gradients_that_are_not_finite_skip_the_step() -> None:
    broken = fakes.weighted_group((math.inf, 0.0), ((20, 30), (50,)), number=1)
    object.__setattr__(broken, "advantages_G", (math.inf, 0.0))
    made = optimiser()
    before = [p.detach().clone() for p in made.policy.packed.parameters()]
    assert not made.update([broken]).finite
    assert all(
        torch.equal(a, b) for a, b in zip(before, made.policy.packed.parameters(), strict=True)
    )
    assert made.update([SIGNAL]).finite


def test_the_first_of_several_updates_needs_no_old_log_probs() -> None:
    config = SGD.model_copy(update={"updates_per_rollout": 2, "lr": 0.1})
    made = optimiser(optimizer=config)
    calls = []
    forward = made.policy.packed.forward
    made.policy.packed.forward = lambda rows, *rest: (
        calls.append(torch.is_grad_enabled()) or forward(rows, *rest)
    )
    made.update([SIGNAL, SIGNAL_2])
    assert calls == [False, True, True]
    assert made.num_updates == 2


def test_running_out_of_memory_halves_the_budget_once_and_says_so(monkeypatch) -> None:
    made = optimiser(max_tokens_per_microbatch=4096)
    forward, failures = made.policy.packed.forward, [1]

    def once(*args, **kwargs):
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    made.policy.packed.forward = once
    outcome = made.update([SIGNAL, SIGNAL_2])
    assert made.budget.tokens == 2048 and "2048 tokens instead of 4096" in outcome.notes[0]
    made.policy.packed.forward = forward
    whole = optimiser()
    whole.update([SIGNAL, SIGNAL_2])
    for mine, other in zip(
        made.policy.packed.parameters(), whole.policy.packed.parameters(), strict=True
    ):
        assert torch.allclose(mine, other, atol=1e-6)
    failures.append(1)
    made.policy.packed.forward = once
    with pytest.raises(TrainingError, match="already halved once"):
        made.update([SIGNAL])


def failing_above(made: Optimiser, limit: int) -> list[int]:
    """Memory that holds passes of so many tokens; the sizes of all passes, the failed ones too."""
    forward, sizes = made.policy.packed.forward, []

    def limited(rows, *rest):
        sizes.append(sum(row.length for row in rows))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("out of memory")
        return forward(rows, *rest)

    made.policy.packed.forward = limited
    return sizes


def weights_of(made: Optimiser) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in made.policy.packed.parameters()])


def test_a_group_that_is_too_large_for_the_memory_is_split() -> None:
    length = len(encode_length(SIGNAL))
    made = optimiser(max_tokens_per_microbatch=length + 3)
    failing_above(made, length + 2)
    outcome = made.update([SIGNAL])
    assert made.budget.tokens == length + 2  # half of it would not hold the longest completion
    assert f"{length + 2} tokens instead of {length + 3}" in outcome.notes[0]
    assert torch.allclose(weights_of(made), weights_after([SIGNAL]), atol=1e-6, rtol=0)
    again = optimiser(max_tokens_per_microbatch=length + 3)
    failing_above(again, length)
    with pytest.raises(TrainingError, match="already halved once"):
        again.update([SIGNAL])


def test_sharded_models_cannot_make_more_passes_than_the_others() -> None:
    made = optimiser()
    made.processes.sharded = made.budget.sharded = True
    failing_above(made, 0)
    with pytest.raises(TrainingError, match="one row in each"):
        made.update([SIGNAL])


def test_a_budget_that_was_halved_holds_for_all_updates_of_the_rollout() -> None:
    """A later update's group would not fit as it was cut before; earlier numbers are kept."""
    length = len(encode_length(SIGNAL))
    twice = SGD.model_copy(update={"updates_per_rollout": 2, "lr": 0.1})
    larger = fakes.weighted_group((1.0, 0.0), ((20, 30, 40, 50), (60, 70, 80)), number=1)
    made = optimiser(optimizer=twice, max_tokens_per_microbatch=length + 5)
    sizes = failing_above(made, length + 4)
    made.policy.packed.forward, forward = forward_with_gradient_only(made), made.policy.packed
    outcome = made.update([SIGNAL, larger])
    assert forward and made.budget.tokens == length + 3 and len(outcome.notes) == 1
    assert max(sizes[-2:]) <= length + 3
    plain = optimiser(optimizer=twice)
    wanted = plain.update([SIGNAL, larger])
    assert torch.allclose(weights_of(made), weights_of(plain), atol=1e-6, rtol=0)
    assert outcome.num_made == 2 and outcome.loss == pytest.approx(wanted.loss, abs=1e-6)
    assert outcome.stats.keys() == wanted.stats.keys()
    assert outcome.stats["entropy"].mean == pytest.approx(wanted.stats["entropy"].mean, abs=1e-5)


def forward_with_gradient_only(made: Optimiser):
    """Passes without gradient keep little, so that memory holds them."""
    limited = made.policy.packed.forward
    plain = type(made.policy.packed).forward.__get__(made.policy.packed)
    return lambda *args: limited(*args) if torch.is_grad_enabled() else plain(*args)


def test_a_resumed_run_keeps_a_halved_budget_unless_it_asks_for_another() -> None:
    halved = Budget(8192)
    halved.tokens = 4096
    for asked, tokens in ((8192, 4096), (2048, 2048), (16384, 16384)):
        resumed = Budget(asked)
        resumed.load_state_dict(halved.state_dict())
        assert resumed.tokens == tokens


def test_rejected_groups_take_no_place_in_an_update() -> None:
    """Two updates of one group each, and not one of two and an empty one."""
    twice = SGD.model_copy(update={"updates_per_rollout": 2, "lr": 0.1})
    rejected = fakes.weighted_group((1.0, 0.0), ((1, 2), (3,)), number=5, admitted=False)
    mixed = [SIGNAL, rejected, SIGNAL_2, rejected]
    assert torch.equal(
        weights_after(mixed, optimizer=twice), weights_after([SIGNAL, SIGNAL_2], optimizer=twice)
    )


def test_one_update_of_several_that_is_not_finite_is_skipped_alone() -> None:
    broken = fakes.weighted_group((1.0, 0.0), ((20, 30), (50,)), number=1)
    object.__setattr__(broken, "advantages_G", (math.inf, 0.0))
    twice = SGD.model_copy(update={"updates_per_rollout": 2, "lr": 0.1})
    made = optimiser(optimizer=twice)
    outcome = made.update([broken, SIGNAL])
    assert (outcome.num_made, outcome.num_skipped, outcome.finite) == (1, 1, True)
    assert all(torch.isfinite(p).all() for p in made.policy.packed.parameters())


def test_the_questions_that_take_most_memory_are_tried_whatever_comes_first() -> None:
    made = optimiser(max_tokens_per_microbatch=4096)
    made.rehearses = True
    made.hardest = [fakes.sample(7, images=3, question="why " * 40)]
    sizes = failing_above(made, 10**6)
    made.update([SIGNAL])
    length = made.policy.encode(made.hardest[0], "count").length
    assert sizes[0] == 4096 // (length + 3 * 7) * (length + 3 * 7)


def test_the_worst_case_is_tried_first_and_moves_nothing() -> None:
    length = len(encode_length(SIGNAL_2))
    made = optimiser(max_tokens_per_microbatch=4 * length)
    made.rehearses = True
    sizes = failing_above(made, 10**6)
    made.update([SIGNAL, SIGNAL_2])
    worst = length + 3 * 7  # as many completions as the largest group has, all at the limit of 8
    assert sizes[0] == 4 * length // worst * worst and len(sizes) == 2
    assert torch.equal(weights_of(made), weights_after([SIGNAL, SIGNAL_2]))
    made.update([SIGNAL])
    assert len(sizes) == 3  # once a run


def test_a_worst_case_that_does_not_fit_halves_the_budget_before_the_first_update() -> None:
    length = len(encode_length(SIGNAL_2))
    made = optimiser(max_tokens_per_microbatch=4 * length)
    made.rehearses = True
    failing_above(made, 2 * length)
    outcome = made.update([SIGNAL, SIGNAL_2])
    assert made.budget.tokens == 2 * length and len(outcome.notes) == 1 and outcome.loss != 0.0
    assert torch.allclose(weights_of(made), weights_after([SIGNAL, SIGNAL_2]), atol=1e-6, rtol=0)
    never = optimiser(max_tokens_per_microbatch=4 * length)
    never.rehearses = True
    failing_above(never, length)
    with pytest.raises(TrainingError, match="already halved once"):
        never.update([SIGNAL, SIGNAL_2])


@pytest.mark.parametrize("place", ["loss", "reward"])
def test_kl_is_zero_at_the_start_and_pulls_back_later(place) -> None:
    loss = ClippedLoss(kl={"coefficient": 0.5, "estimator": "k1", "place": place})
    made = optimiser(loss=loss, optimizer=SGD.model_copy(update={"lr": 0.05}))
    first = made.update([SIGNAL, SILENT])
    assert first.stats["kl"].value == pytest.approx(0, abs=1e-6)
    second = made.update([SILENT])
    assert abs(second.stats["kl"].value) > 1e-4
    assert first.had_signal and not second.had_signal  # pulled back, and nothing to learn from


def test_the_reference_of_adapters_is_the_model_without_them() -> None:
    loss = ClippedLoss(kl={"coefficient": 0.1})
    made = optimiser(loss=loss, optimizer=SGD.model_copy(update={"lr": 5.0}), lora={"rank": 2})
    assert made.reference is not None and made.reference.module is made.policy.packed
    made.update([SIGNAL])
    outcome = made.update([SIGNAL])
    assert outcome.stats["kl"].value > 0


@pytest.mark.parametrize("part", ["vision", "aligner", "language"])
def test_each_part_is_frozen_by_itself(part) -> None:
    policy = fakes.tiny_policy(**{f"freeze_{part}": True})
    before = {name: p.detach().clone() for name, p in policy.packed.named_parameters()}
    optimiser(policy).update([SIGNAL, SIGNAL_2])
    from observe_r1.policy.family import part_of

    moved = {
        part_of(n) for n, p in policy.packed.named_parameters() if not torch.equal(p, before[n])
    }
    assert moved == {"vision", "aligner", "language"} - {part}
