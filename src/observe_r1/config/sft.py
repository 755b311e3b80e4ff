"""Supervised fine-tuning: traces are learnt token by token."""

from typing import Literal

from pydantic import Field

from observe_r1.config.optimizer import SupervisedOptimizer
from observe_r1.config.spans import Spans
from observe_r1.config.stage_base import Asking, TrainingStage
from observe_r1.config.traces import TraceSource


class SFTStage(TrainingStage, Asking):
    """A cold start: every trace is asked for by the prompt of its own grammar, as reinforcement
    learning and evaluation ask. ``grammar``, ``extract``, ``system_prompt`` and ``sampling`` say
    how the held-out questions are answered that are measured on the way."""

    type: Literal["sft"] = "sft"

    name: str = Field(default="sft", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    traces: tuple[TraceSource, ...] = (TraceSource(),)
    """What is learnt: all of these together, shuffled."""

    validation: tuple[TraceSource, ...] = ()
    """Traces whose loss is measured with the held-out questions, as ``eval/loss/<name>``; nothing
    is learnt from them."""

    loss_on: Spans = Spans()
    """The parts of a response that are learnt; the others are only read."""

    epochs: float = Field(default=1.0, gt=0.0)
    """Passes over the traces when ``max_steps`` does not say how long."""

    examples_per_step: int = Field(default=32, ge=1)
    """Traces an update."""

    examples_per_pass: int = Field(default=8, ge=1)
    """Traces a forward pass, of each process; the gradient does not depend on it."""

    until_token_accuracy: float | None = Field(default=None, gt=0.0, le=1.0)
    """Stop once this share of the learnt tokens was the model's likeliest over a whole pass of
    the traces; None: go on."""

    optimizer: SupervisedOptimizer = SupervisedOptimizer(lr=1e-5)
    """Steps and learning rate."""
