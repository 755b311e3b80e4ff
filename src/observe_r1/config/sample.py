"""Rejection sampling: the model's own responses, filtered, become traces."""

from typing import Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.questions import Questions
from observe_r1.config.rollout import VLLM, SharedPrefill
from observe_r1.config.stage_base import Asking, StageBase
from observe_r1.config.traces import Hint
from observe_r1.data.trace_filters import AnyFilter
from observe_r1.data.transforms import AnyTransform


class WritingStage(StageBase):
    """What the stages have that write traces."""

    questions: Questions = Questions()
    """What is answered."""

    filters: tuple[AnyFilter, ...] = ()
    """Which traces are kept, one rule after the other."""

    transforms: tuple[AnyTransform, ...] = ()
    """What is done to those that are kept, one change after the other."""

    at_least: int = Field(default=1, ge=1)
    """With fewer traces than this the run stops and says which filter left how many out."""


class Drawing(Asking):
    """How responses are drawn until a question has enough of them."""

    attempts: int = Field(default=8, ge=1)
    """Most responses drawn to a question."""

    attempts_per_round: int | None = Field(default=None, ge=1)
    """How many are drawn at a time; None: all at once."""

    wanted: int | None = Field(default=None, ge=1)
    """Ask a question no more once so many of its responses passed the filters that look at one
    trace, which is seen after every round; None: all attempts are drawn."""

    hint: Hint | None = None
    """Help for the writer, which is not part of the trace."""

    ask_if_greedy: Literal["any", "wrong", "right"] = "any"
    """Questions are first answered once, greedily and without the hint; only those whose answer
    is so go on. With a hint and the filter ``gold``, ``wrong`` keeps what the hint taught."""

    questions_per_batch: int = Field(default=32, ge=1)
    """Questions drawn together; what is drawn is on disk before the next batch begins."""

    @model_validator(mode="after")
    def _check_wanted(self) -> Self:
        if self.wanted is not None and self.wanted > self.attempts:
            raise ValueError(
                f"{self.wanted} traces are wanted of at most {self.attempts} attempts. "
                "Raise attempts or lower wanted."
            )
        return self


class SampleStage(WritingStage, Drawing):
    """The model the stage starts from answers the questions; its responses, graded, counted and
    filtered, are the traces. It trains nothing and hands on the weights it was given."""

    type: Literal["sample"] = "sample"

    name: str = Field(default="sample", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    engine: SharedPrefill | VLLM = Field(default=SharedPrefill(), discriminator="type")
    """What draws the responses."""
