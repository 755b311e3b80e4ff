"""ScoredGroups → WeightedGroups: advantage, then bonus given after it, then the group weight.

    advantage_i = weight(group) · (normalised reward_i + bonus_i if it is given after)

Only admitted groups take part in statistics over the batch; rejected ones come back with zero
advantages, in their place.
"""

from collections.abc import Sequence
from typing import Literal

from observe_r1.config_base import Config
from observe_r1.types import ScoredGroup, WeightedGroup
from observe_r1.weighting.admission import Admission, AdmitAll
from observe_r1.weighting.advantages import Advantage, GroupMeanStd
from observe_r1.weighting.group_weights import GroupWeight, UniformWeight


class Weighting(Config):
    """How rewards become what multiplies the loss. The defaults are plain GRPO."""

    advantage: Advantage = GroupMeanStd()
    """What a completion's reward says against the others of its group."""
    weight: GroupWeight = UniformWeight()
    """How much one group counts against another."""
    admission: Admission = AdmitAll()
    """Which groups are trained on at all."""
    truncated: Literal["keep", "mask"] = "keep"
    """"mask" leaves completions cut by the token limit out of the loss; they still count in the
    statistics of their group."""


def weigh_groups(scored_P: Sequence[ScoredGroup], weighting: Weighting) -> list[WeightedGroup]:
    """Weigh a batch of groups; the result has the same order and length."""
    admitted = [group for group in scored_P if weighting.admission.admits(group)]
    weights = iter(weighting.weight(admitted))
    advantages = iter(weighting.advantage(admitted))
    return [
        _weigh(group, next(weights), next(advantages), weighting)
        if weighting.admission.admits(group)
        else _reject(group, weighting)
        for group in scored_P
    ]


def _weigh(
    group: ScoredGroup, weight: float, advantages_G: list[float], weighting: Weighting
) -> WeightedGroup:
    late_G = [score.bonus if score.bonus_after else 0.0 for score in group.scores_G]
    return WeightedGroup(
        scored=group,
        advantages_G=tuple(
            weight * (value + bonus) for value, bonus in zip(advantages_G, late_G, strict=True)
        ),
        weight=weight,
        admitted=True,
        completion_weights_G=_completion_weights(group, weighting),
    )


def _reject(group: ScoredGroup, weighting: Weighting) -> WeightedGroup:
    return WeightedGroup(
        scored=group,
        advantages_G=(0.0,) * len(group.scores_G),
        weight=0.0,
        admitted=False,
        completion_weights_G=_completion_weights(group, weighting),
    )


def _completion_weights(group: ScoredGroup, weighting: Weighting) -> tuple[float, ...]:
    """0 for a completion that is left out of the loss and of every denominator."""
    masks = weighting.truncated == "mask"
    completions_G = group.rollout.completions_G
    return tuple(0.0 if masks and completion.truncated else 1.0 for completion in completions_G)
