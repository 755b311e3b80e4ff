"""The records that flow through one step, each frozen and complete when it is made.

    Sample → RolloutGroup → ScoredGroup → WeightedGroup

Axis suffixes, everywhere in the package: ``_P`` prompts, ``_G`` completions of a group, ``_T``
tokens, ``_S`` packed positions, ``_V`` vocabulary, ``_H`` hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "number", "expression", "choice", "parts", "text", "point", "box", "interval", "sequence"
]
"""How an answer is checked: ``observe_r1.grading`` has one rule for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One question with its images, gold answer, answer kind and source.

    ``question`` may hold ``<image>`` markers, one per image, where the images belong; without
    markers the images come first. Fields that the probe and the ladder fill are None before.

    Example:
        Sample(id="puzzles-counting-7", question="How many red squares are there?", answer="3",
               kind="number", images=(b"<png bytes>",), source="puzzles", family="counting")
    """

    id: str
    question: str
    answer: str
    kind: Kind
    images: tuple[bytes, ...] = field(default=(), repr=False)
    """Encoded pictures (PNG, JPEG or WebP), as they are stored."""
    options: tuple[str, ...] = ()
    """Texts of the options of a choice question; the first is option A."""
    source: str = ""
    family: str | None = None
    """Subject or puzzle family: what results are broken down by."""
    solve_rate: float | None = None
    """Share of the probe rollouts that were correct."""
    complexity: float | None = None
    """Mean length of the probe rollouts, in tokens."""
    level: int | None = None
    """Level of equal difficulty, 0 (always solved) to 8 (never) for eight probe rollouts."""
    rung: int | None = None
    """Slot of the ladder in which the sample is trained."""
    position: int | None = None
    """Place in the ladder's order."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """How the sample was made (puzzles) or whatever the source says of it; JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled response.

    Example:
        Completion(text="<think>two and one</think><answer>3</answer>", token_ids=(17, 4, 9),
                   logprobs=(-0.1, -0.7, -0.01), truncated=False)
    """

    text: str
    """Decoded without special tokens."""
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    """[T] with the end token when one was sampled."""
    logprobs: tuple[float, ...] = field(default=(), repr=False)
    """[T] the sampler's own: temperature applied, suppressed ids out, before top-p/k/min-p."""
    truncated: bool = False
    """Stopped by the token limit, not by an end token or a stop string."""

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGroup:
    """The G completions of one sample, sampled at one step by one version of the policy.

    Example:
        RolloutGroup(sample=sample, completions_G=(first, second), step=12, policy_version=12)
    """

    sample: Sample
    completions_G: tuple[Completion, ...]
    step: int = 0
    policy_version: int = 0
    prompt_ids: tuple[int, ...] = field(default=(), repr=False)
    """The prompt as the policy saw it, image pads expanded; empty for engines that hide it."""
    refused: str = ""
    """A server's words where it would not answer the question; completions may be missing then."""

    @property
    def num_completions(self) -> int:
        return len(self.completions_G)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one completion is worth, every part kept by name.

    Example:
        Score(rewards={"accuracy": 1.0, "format": 0.5}, bonus=0.2, reward=1.7, correct=True,
              well_formed=True, answer="3")
    """

    rewards: Mapping[str, float]
    """By name, weights in them: their sum and the bonus are the reward."""
    reward: float
    """The total, bonus included."""
    correct: bool
    """Graded right, whatever rewards the recipe uses: solve rates come from here."""
    well_formed: bool
    bonus: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    """What stands inside combined rewards, by dotted name ("ladder.judge"); not summed again."""
    bonus_after: bool = False
    """The bonus joins the advantage after normalisation, not the reward before it."""
    answer: str | None = None
    """The extracted answer, None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """A rollout group and the score of each completion.

    Example:
        ScoredGroup(rollout=group, scores_G=(right, wrong)).solve_rate == 0.5
    """

    rollout: RolloutGroup
    scores_G: tuple[Score, ...]

    @property
    def sample(self) -> Sample:
        return self.rollout.sample

    @property
    def solve_rate(self) -> float:
        """p: the share of correct completions."""
        return sum(score.correct for score in self.scores_G) / len(self.scores_G)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedGroup:
    """A scored group and how much each completion pulls on the policy.

    Example:
        WeightedGroup(scored=scored, advantages_G=(1.2, -1.2), weight=1.8, admitted=True,
                      completion_weights_G=(1.0, 1.0))
    """

    scored: ScoredGroup
    advantages_G: tuple[float, ...]
    """What multiplies the loss of each completion; the group weight is already in it."""
    weight: float
    """The group weight f."""
    admitted: bool
    """False: recorded, never trained on."""
    completion_weights_G: tuple[float, ...]
    """1 counts fully; 0 leaves a completion out of the loss and of every denominator."""

    @property
    def has_signal(self) -> bool:
        """Whether any counted completion moves the policy."""
        pairs = zip(self.advantages_G, self.completion_weights_G, strict=True)
        return self.admitted and any(a != 0.0 and w != 0.0 for a, w in pairs)
