"""Rollouts drawn ahead of the steps that train on them, and how old they are then.

    staleness 0    draw 1 │ train 1 │ draw 2 │ train 2 │ …        always by the newest weights
    staleness 1    draw 1 │ draw 2 │ train 1 │ draw 3 │ train 2 │ …
                              └────────────────▶ trained on by weights one update newer
    beside         draw 1 │ train 1 │ train 2 │ …         a sampler on devices of its own
                          │ draw 2  │ draw 3  │           does both at once

Beside, whichever is slower is waited for before weights are handed over; so draws are made in the
same order and by the same weights, and a run on one device shows what staleness costs in accuracy.
A group's ``policy_version`` counts the updates its weights had seen; what is older than the bound
is recorded, never trained on.

What was drawn and not yet trained on is part of a checkpoint, so a run that is stopped and resumed
leaves no trace.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from observe_r1.train.draw import Draw
from observe_r1.types import (
    Completion,
    RolloutGroup,
    Sample,
    Score,
    ScoredGroup,
    WeightedGroup,
)  # fmt: skip

DrawStep = Callable[[int], Draw]
FindSamples = Callable[[Iterable[str]], dict[str, Sample]]


class Ahead:
    """The draws of the next steps, ``staleness`` of them besides the one that is due.

    Example:
        ahead = Ahead(staleness=1, last_step=100)
        draw = ahead.take(7, draw_step)     # draws step 8, hands out what was drawn for step 7
    """

    def __init__(self, staleness: int = 0, last_step: int = 0, *, beside: bool = False) -> None:
        """``beside``: the sampler can go on while the policy trains; steps are then drawn in a
        thread, and ``wait`` must be called before it is given new weights."""
        self.staleness = staleness
        self.last_step = last_step
        self._thread = ThreadPoolExecutor(1, "draws") if beside and staleness else None
        self._waiting: deque[tuple[int, Future[Draw]]] = deque()

    def take(self, step: int, draw: DrawStep) -> Draw:
        """The draw of ``step``, whose weights have seen ``step - 1`` updates."""
        until = max(step, min(step + self.staleness, self.last_step))
        first = self._waiting[-1][0] + 1 if self._waiting else step
        for number in range(first, until + 1):
            self._waiting.append((number, self._begin(draw, number)))
        found = self._waiting.popleft()[1].result()
        found.weighted_P = reject_stale(found.weighted_P, step - 1, self.staleness)
        return found

    def wait(self) -> None:
        """Until nothing is being drawn; an error of a draw is raised here."""
        for _, begun in self._waiting:
            begun.result()

    def close(self) -> None:
        """Draw no more. What is being drawn is waited for, so the engine is closed before."""
        if self._thread:
            self._thread.shutdown(cancel_futures=True)

    def _begin(self, draw: DrawStep, number: int) -> Future[Draw]:
        if self._thread is None:
            return ready(draw(number))
        before = self._waiting[-1][1] if self._waiting else None
        return self._thread.submit(draw_after, before, draw, number)

    def state_dict(self) -> list[dict[str, Any]]:
        """What waits, in plain JSON; samples by their ids."""
        return [
            {
                "step": step,
                "rounds": draw.rounds,
                "groups": [_to_json(group) for group in draw.weighted_P],
            }
            for step, draw in ((step, begun.result()) for step, begun in self._waiting)
        ]

    def load_state_dict(self, state: list[dict[str, Any]], find: FindSamples) -> None:
        samples = find(group["sample"] for draw in state for group in draw["groups"])
        for saved in state:
            draw = Draw(
                weighted_P=[_from_json(group, samples) for group in saved["groups"]],
                rounds=saved["rounds"],
            )  # fmt: skip
            self._waiting.append((saved["step"], ready(draw)))


def draw_after(before: Future[Draw] | None, draw: DrawStep, number: int) -> Draw:
    """A draw, unless the one before it has failed: processes must agree on which draw is which."""
    if before is not None:
        before.result()
    return draw(number)


def ready(draw: Draw) -> Future[Draw]:
    """What is drawn already, as what is still being drawn."""
    found: Future[Draw] = Future()
    found.set_result(draw)
    return found


def age(group: WeightedGroup, version: int) -> int:
    """Updates between the weights that drew a group and those with ``version`` updates."""
    return version - group.scored.rollout.policy_version


def reject_stale(
    weighted_P: Iterable[WeightedGroup], version: int, bound: int
) -> list[WeightedGroup]:
    """Groups older than the bound are no longer admitted; they count in no denominator."""
    return [
        replace(group, admitted=False) if age(group, version) > bound else group
        for group in weighted_P
    ]


def _to_json(group: WeightedGroup) -> dict[str, Any]:
    rollout = group.scored.rollout
    return {
        "sample": rollout.sample.id,
        "step": rollout.step,
        "policy_version": rollout.policy_version,
        "prompt_ids": list(rollout.prompt_ids),
        "completions": [asdict(completion) for completion in rollout.completions_G],
        "scores": [asdict(score) for score in group.scored.scores_G],
        "advantages": list(group.advantages_G),
        "weight": group.weight,
        "admitted": group.admitted,
        "completion_weights": list(group.completion_weights_G),
    }


def _from_json(saved: dict[str, Any], samples: dict[str, Sample]) -> WeightedGroup:
    rollout = RolloutGroup(
        sample=samples[saved["sample"]],
        completions_G=tuple(_completion(one) for one in saved["completions"]),
        step=saved["step"],
        policy_version=saved["policy_version"],
        prompt_ids=tuple(saved["prompt_ids"]),
    )
    return WeightedGroup(
        scored=ScoredGroup(
            rollout=rollout, scores_G=tuple(Score(**score) for score in saved["scores"])
        ),
        advantages_G=tuple(saved["advantages"]),
        weight=saved["weight"],
        admitted=saved["admitted"],
        completion_weights_G=tuple(saved["completion_weights"]),
    )


def _completion(saved: dict[str, Any]) -> Completion:
    lists = {name: tuple(saved[name]) for name in ("token_ids", "logprobs")}
    return Completion(**{**saved, **lists})
