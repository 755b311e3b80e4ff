"""The interface every engine satisfies."""

from collections.abc import Sequence
from typing import Any, Protocol

from observe_r1.config.rollout import Sampling
from observe_r1.types import RolloutGroup, Sample


class RolloutEngine(Protocol):
    """Draws completions; used for rollouts, probing and evaluation alike."""

    is_apart: bool
    """Whether it has devices of its own, and may generate in a thread while the policy trains."""

    @property
    def room(self) -> int | None:
        """Tokens that a prompt and a completion may have together; None: as many as the model's
        positions."""
        ...

    def generate(
        self,
        samples_P: Sequence[Sample],
        *,
        group_size: int,
        sampling: Sampling,
        system_prompt: str,
        seed: int,
        step: int = 0,
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order. Equal arguments give equal groups."""
        ...

    def sync(self, policy: Any, version: int = 0) -> None:
        """Take over the policy's weights, which have seen ``version`` updates; groups drawn from
        now on say so (``policy_version``). Engines that share the weights copy nothing."""
        ...

    def close(self) -> None:
        """Give everything back. Safe to call twice."""
        ...
