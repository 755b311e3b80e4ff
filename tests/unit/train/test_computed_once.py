"""What a whole step computes: every prompt token and every image once, completions once a pass."""

from typing import Any

import fakes
from observe_r1.config.loss import ClippedLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.rollout import Sampling
from observe_r1.policy.family import inner_model
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.train.optimise import Optimiser
from observe_r1.types import Score, ScoredGroup, WeightedGroup

SAMPLES = [fakes.sample(number, images=images) for number, images in enumerate((0, 1, 2))]
GROUP, NEW, IMAGES = 4, 3, 3


def weighted(rollout: Any) -> WeightedGroup:
    values = [1.0 if n % 2 else -1.0 for n in range(GROUP)]
    scores = tuple(Score(rewards={}, reward=v, correct=v > 0, well_formed=True) for v in values)
    return WeightedGroup(
        scored=ScoredGroup(rollout=rollout, scores_G=scores), advantages_G=tuple(values),
        weight=1.0, admitted=True, completion_weights_G=(1.0,) * GROUP,
    )  # fmt: skip


def one_step(policy: Any) -> tuple[list[int], Any]:
    """Tokens of every forward pass in their order: a rollout, then log-probs of a reference, old
    ones, and two updates. And how many tokens there are without repetition."""
    passes: list[int] = []
    settings = Sampling(max_new_tokens=NEW)
    optimiser = Optimiser(
        policy, loss=ClippedLoss(kl={"coefficient": 0.1}), sampling=settings,  # type: ignore[arg-type]
        optimizer=OptimizerConfig(updates_per_rollout=2), system_prompt="count", total_updates=9,
    )  # fmt: skip
    assert optimiser.reference is not None

    def watch(module: Any, args: Any, kwargs: Any) -> None:
        passes.append(kwargs["input_ids"].numel())

    for packed in (policy.packed, optimiser.reference.module):
        inner_model(packed.model).register_forward_pre_hook(watch, with_kwargs=True)
    groups = SharedPrefillEngine(policy).generate(
        SAMPLES, group_size=GROUP, sampling=settings, system_prompt="count", seed=1
    )
    return passes, optimiser.update([weighted(group) for group in groups])


def test_prompts_are_computed_once_a_pass_and_images_once_a_step() -> None:
    policy = fakes.tiny_policy(freeze_vision=True, freeze_aligner=True)
    passes, outcome = one_step(policy)
    prompts = sum(policy.encode(sample, "count").length for sample in SAMPLES)
    assert passes[0] == prompts  # the prefill: nothing is padded or repeated
    assert all(count <= len(SAMPLES) * GROUP for count in passes[1:NEW])
    assert outcome.tokens_computed == outcome.tokens_unique
    # A reference for two hands of groups, old log-probs for the second hand, two updates.
    hands = passes[NEW:]
    assert sum(hands[:2]) == outcome.tokens_unique == sum(hands[-2:])
    assert policy.packed.vision.num_encoded == IMAGES


def test_a_trained_tower_encodes_once_a_pass() -> None:
    policy = fakes.tiny_policy()
    one_step(policy)
    # The rollout, the updates; old log-probs for the second hand, which is the sample of one image.
    assert policy.packed.vision.num_encoded == 2 * IMAGES + 1
