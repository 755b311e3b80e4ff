"""How many tokens a step computes, and where: counted from a stage and a few typical lengths."""

from dataclasses import dataclass

from observe_r1.config.stages import RLStage

TEXT_TOKENS = 160
IMAGE_TOKENS = 1024
SHARE_OF_LIMIT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Typical sizes of a question and its answers, in tokens.

    Example:
        Lengths(text=160, image=1024, completion=700, longest=2800)
    """

    text: int = TEXT_TOKENS
    """System prompt and question, without the image."""
    image: int = IMAGE_TOKENS
    """Tokens of all images of a question; 1,024 are 896 × 896 pixels at 14 pixels a patch."""
    completion: int | None = None
    """Mean of a completion; None: a tenth of ``max_new_tokens``."""
    longest: int | None = None
    """The longest of a batch, which all wait for; None: four times the mean, at most the limit."""

    def of(self, stage: RLStage) -> "Lengths":
        """With nothing left open."""
        limit = stage.sampling.max_new_tokens
        mean = min(limit, self.completion or max(1, round(SHARE_OF_LIMIT * limit)))
        longest = min(limit, self.longest or 4 * mean)
        return Lengths(
            text=self.text, image=self.image, completion=mean, longest=max(mean, longest)
        )

    @property
    def prompt(self) -> int:
        return self.text + self.image


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one process does in one step.

    Example (128 prompts × 8 on 8 GPUs):
        Workload(prompts=16, group=8, updates=16, lengths=…, trained_share=1.0)
    """

    prompts: float
    group: int
    updates: int
    lengths: Lengths
    trained_share: float
    """Share of the groups that move the policy: neither all right nor all wrong."""

    @property
    def sequences(self) -> float:
        return self.prompts * self.group

    @property
    def completion(self) -> int:
        assert self.lengths.completion is not None
        return self.lengths.completion

    @property
    def longest(self) -> int:
        assert self.lengths.longest is not None
        return self.lengths.longest

    @property
    def generated(self) -> float:
        return self.sequences * self.completion

    @property
    def row(self) -> int:
        """Tokens of one group packed into one row, prompt once."""
        return self.lengths.prompt + self.group * self.completion

    @property
    def rows(self) -> float:
        return self.prompts * self.trained_share


def workload_of(stage: RLStage, gpus: int, lengths: Lengths, trained_share: float) -> Workload:
    """The busiest process's share of a step."""
    return Workload(
        prompts=max(1.0, stage.prompts_per_step / gpus),
        group=stage.group_size,
        updates=stage.optimizer.updates_per_rollout,
        lengths=lengths.of(stage),
        trained_share=trained_share,
    )
