"""The first half of a step: choose, generate, score, observe, weigh; and again for rejected groups.

With dynamic sampling a group that the admission rule rejects is recorded, and another prompt is
drawn in its place, until the batch is full or the round limit is reached. Then the step goes on
with what it has, and says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from observe_r1.types import Sample, ScoredGroup, WeightedGroup


@dataclass(slots=True)
class Draw:
    """Everything drawn in one step."""

    weighted_P: list[WeightedGroup] = field(default_factory=list)
    """All groups, rejected ones too, in the order drawn."""
    rounds: int = 0

    @property
    def scored_P(self) -> list[ScoredGroup]:
        return [group.scored for group in self.weighted_P]

    @property
    def num_admitted(self) -> int:
        return sum(group.admitted for group in self.weighted_P)


def draw_groups(
    wanted: int,
    max_redraws: int,
    *,
    choose: Callable[[int], list[Sample]],
    answer: Callable[[Sequence[Sample], int], list[ScoredGroup]],
    observe: Callable[[Sequence[ScoredGroup]], None],
    weigh: Callable[[Sequence[ScoredGroup]], list[WeightedGroup]],
) -> Draw:
    """Rounds of prompts until ``wanted`` groups are admitted. ``answer`` generates and scores a
    group a prompt, and is told the round."""
    scored_P: list[ScoredGroup] = []
    draw = Draw()
    while draw.num_admitted < wanted and draw.rounds <= max_redraws:
        samples_P = choose(wanted - draw.num_admitted)
        if not samples_P:
            break
        fresh_P = answer(samples_P, draw.rounds)
        observe(fresh_P)
        scored_P += fresh_P
        draw.weighted_P = weigh(scored_P)  # over all: some advantages compare whole batches
        draw.rounds += 1
    return draw
