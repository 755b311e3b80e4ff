"""Scored groups made from a few numbers."""

from collections.abc import Sequence

from observe_r1.types import Completion, RolloutGroup, Sample, Score, ScoredGroup


def scored(
    correct_G: Sequence[bool],
    *,
    bonus_G: Sequence[float] | None = None,
    parts_G: Sequence[dict[str, float]] | None = None,
    truncated_G: Sequence[bool] | None = None,
    bonus_after: bool = False,
    solve_rate: float | None = None,
) -> ScoredGroup:
    """A group with accuracy 1 or 0 and format 0.5, unless ``parts_G`` says otherwise."""
    num = len(correct_G)
    bonus_G = bonus_G or [0.0] * num
    parts_G = parts_G or [{"accuracy": float(c), "format": 0.5} for c in correct_G]
    truncated_G = truncated_G or [False] * num
    sample = Sample(id="s", question="?", answer="3", kind="number", solve_rate=solve_rate)
    rollout = RolloutGroup(
        sample=sample,
        completions_G=tuple(Completion(text="", truncated=cut) for cut in truncated_G),
    )
    scores = tuple(
        Score(
            rewards=parts,
            reward=sum(parts.values()) + bonus,
            correct=correct,
            well_formed=True,
            bonus=bonus,
            bonus_after=bonus_after,
        )
        for correct, parts, bonus in zip(correct_G, parts_G, bonus_G, strict=True)
    )
    return ScoredGroup(rollout=rollout, scores_G=scores)


def first_right(right: int, num: int = 8, **settings: object) -> ScoredGroup:
    """The first ``right`` of ``num`` completions are correct."""
    return scored([i < right for i in range(num)], **settings)  # type: ignore[arg-type]
