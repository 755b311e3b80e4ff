"""Half-precision weights follow float32 ones, so that small steps are not lost."""

import torch

import fakes
from observe_r1.config.loss import ClippedLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.policy.load import make_policy
from observe_r1.train.masters import MasterWeights
from observe_r1.train.optimise import Optimiser
from observe_r1.train.state import optimizer_tensors, restore_optimizer

GROUP = fakes.weighted_group((1.0, 0.0), ((20, 30, 40), (50, 60)), number=1)


def optimiser() -> Optimiser:
    model = fakes.tiny_model().to(torch.bfloat16)
    policy = make_policy(model, fakes.byte_processor(), PolicyConfig(dtype="bfloat16"), source="x")
    return Optimiser(
        policy, loss=ClippedLoss(), optimizer=OptimizerConfig(lr=1e-5),
        sampling=Sampling(max_new_tokens=8), system_prompt="count", total_updates=100,
    )  # fmt: skip


def test_small_steps_add_up_in_bfloat16() -> None:
    made = optimiser()
    before = [pair.master.detach().clone() for pair in made.masters]
    for _ in range(3):
        made.update([GROUP])
    for pair, start in zip(made.masters, before, strict=True):
        assert pair.master.dtype == torch.float32 and pair.weight.dtype == torch.bfloat16
        assert torch.equal(pair.weight, pair.master.to(torch.bfloat16))
        if pair.name.endswith("q_proj.weight"):
            assert not torch.equal(pair.master, start)


def test_gradients_of_many_passes_add_up_in_float32() -> None:
    """300 small ones beside a large one: in bfloat16 none of them would be seen."""
    layer = torch.nn.Linear(4, 4, bias=False).to(torch.bfloat16)
    masters = MasterWeights(layer)
    for size in [1.0, *[2.0**-10] * 300]:
        layer.weight.grad = torch.full((4, 4), size, dtype=torch.bfloat16)
        masters.add_gradients()
    assert torch.equal(masters.parameters[0].grad, torch.full((4, 4), 1 + 300 / 1024))
    assert layer.weight.grad is None
    layer.weight.grad = torch.ones(4, 4, dtype=torch.bfloat16)
    masters.take_gradients()
    assert torch.equal(masters.parameters[0].grad, torch.ones(4, 4))


def test_float32_weights_are_their_own_masters() -> None:
    assert not any(pair.is_copied for pair in MasterWeights(fakes.tiny_policy().packed))


def test_masters_are_saved_and_restored_with_the_optimizer() -> None:
    one, other = optimiser(), optimiser()
    one.update([GROUP])
    tensors = optimizer_tensors(one.masters, one.optimizer)
    restore_optimizer(other.masters, other.optimizer, tensors)
    again = optimizer_tensors(other.masters, other.optimizer)
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
