"""Run by ``test_two_processes``: one update, alone or as one of two processes, replicated or sharded.

Usage: two_processes.py RANK WORLD PORT KIND CASE OUT
"""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))

import fakes
from observe_r1.config.loss import KL, ClippedLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.policy.load import Policy, make_policy
from observe_r1.policy.weights import whole
from observe_r1.train.distribute import Processes
from observe_r1.train.optimise import Optimiser
from observe_r1.train.reference import Reference

# Unequal on purpose: more rows than can be shared evenly, one text-only, one without signal; then a
# batch with a single row, so that one process has nothing; then only text; then nothing at all.
BATCHES = (
    (
        fakes.weighted_group((1.0, 0.0, 0.0), ((20, 30, 40), (50,), (60, 70)), number=1),
        fakes.weighted_group((0.0, 1.0), ((21, 31, 41, 51, 61), (51, 11)), number=2, images=2),
        fakes.weighted_group((1.0, 1.0), ((80, 81), (90, 91)), number=3),
        fakes.weighted_group((0.0, 1.0), ((22, 32), (52, 12)), number=4, images=0),
    ),
    (fakes.weighted_group((1.0, 0.0), ((25, 35), (55,)), number=5),),
    (fakes.weighted_group((1.0, 0.0), ((26, 36), (56,)), number=6, images=0),),
    (fakes.weighted_group((1.0, 1.0), ((27, 37), (57,)), number=7),),
)


CASES: dict[str, tuple[dict[str, Any], ClippedLoss, int]] = {
    "plain": ({}, ClippedLoss(), 1),
    "kl": ({}, ClippedLoss(kl=KL(coefficient=0.3), entropy=0.01), 2),
    "adapters": (
        {"lora": {"rank": 2}, "gradient_checkpointing": True},
        ClippedLoss(kl=KL(coefficient=0.3, place="reward")),
        2,
    ),
    "half": ({"dtype": "bfloat16"}, ClippedLoss(), 1),
}
"""Settings of the policy, the loss, updates of a rollout."""


def build_policy(settings: dict[str, Any]) -> Policy:
    torch.manual_seed(7)  # fresh adapters are drawn from it
    dtype = getattr(torch, settings.get("dtype", "float32"))
    policy = make_policy(
        fakes.tiny_model().to(dtype), fakes.byte_processor(), PolicyConfig(**settings), source="x"
    )
    with torch.no_grad():  # adapters that already do something
        for name, parameter in policy.packed.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    return policy


def main(rank: int, world: int, port: str, kind: str, case: str, out: str) -> None:
    torch.set_num_threads(1)
    if world > 1:
        store = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    settings, loss, updates = CASES[case]
    policy = build_policy(settings)
    reference = Reference(policy) if loss.kl.coefficient else None
    config = OptimizerConfig(type="sgd", lr=0.5, grad_clip=None, updates_per_rollout=updates)
    optimiser = Optimiser(
        policy, loss=loss, optimizer=config, reference=reference,
        sampling=Sampling(max_new_tokens=8), system_prompt="count", total_updates=4,
        processes=Processes(sharded=kind == "sharded"),
    )  # fmt: skip
    gradients: dict[str, torch.Tensor] = {}
    step = optimiser.optimizer.step

    def step_with(*args: Any, **kwargs: Any) -> Any:
        """The step, its gradients kept as the optimizer gets them."""
        for pair in optimiser.masters:
            if pair.master.grad is not None:
                gradients[pair.name] = whole(pair.master.grad).clone()
        return step(*args, **kwargs)

    optimiser.optimizer.step = step_with  # type: ignore[method-assign]
    found = []
    for groups in BATCHES:
        gradients.clear()
        outcome = optimiser.update(groups)
        weights = {
            name: whole(parameter.detach()).clone()
            for name, parameter in policy.model.named_parameters()
            if parameter.requires_grad
        }
        found.append(
            {"loss": outcome.loss, "norm": outcome.grad_norm, "weights": weights,
             "gradients": dict(gradients)}
        )  # fmt: skip
    if rank == 0:
        torch.save(found, out)
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
