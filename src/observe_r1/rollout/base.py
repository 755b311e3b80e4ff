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
        written_P: Sequence[Sequence[int]] | None = None,
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order. Equal arguments give equal groups.

        ``written_P`` are tokens that the responses to each sample begin with: they end the group's
        prompt, and its completions go on from there. Forked decoding is made of that: stop (a stop
        string), branch (G completions of what is written), merge (what several branches wrote as
        the next beginning) and go on. Servers that take no tokens raise ``EngineError``.
        """
        ...

    def sync(self, policy: Any, version: int = 0) -> None:
        """Take over the policy's weights, which have seen ``version`` updates; groups drawn from
        now on say so (``policy_version``). Engines that share the weights copy nothing."""
        ...

    def close(self) -> None:
        """Give everything back. Safe to call twice."""
        ...
