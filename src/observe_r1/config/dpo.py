"""Preference learning: of two traces to a question the better one is made likelier."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from observe_r1.config.optimizer import SupervisedOptimizer
from observe_r1.config.spans import Spans
from observe_r1.config.stage_base import Asking, TrainingStage
from observe_r1.config.traces import LAST, TraceSource


class DPOStage(TrainingStage, Asking):
    """Pairs are made of a chosen and a rejected trace of the same question. The reference is the
    model the stage starts from. ``grammar``, ``extract``, ``system_prompt`` and ``sampling`` say
    how the held-out questions are answered that are measured on the way."""

    type: Literal["dpo"] = "dpo"

    name: str = Field(default="dpo", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    chosen: TraceSource = TraceSource()
    """The better traces."""

    rejected: TraceSource = TraceSource()
    """The worse traces; those of other questions than the chosen ones are left aside."""

    pairs_per_question: int = Field(default=1, ge=1)
    """At most so many pairs of one question: first with first, second with second …"""

    beta: float = Field(default=0.1, gt=0.0)
    """How hard the policy is held at the reference; small lets it go further."""

    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """``sigmoid`` is DPO."""

    sft_weight: float = Field(default=0.0, ge=0.0)
    """λ: weight of the supervised loss on the chosen traces, beside a preference loss of weight
    1."""

    loss_on: Spans = Spans()
    """The parts of both responses that count; the others are only read."""

    epochs: float = Field(default=1.0, gt=0.0)
    """Passes over the pairs when ``max_steps`` does not say how long."""

    examples_per_step: int = Field(default=32, ge=1)
    """Pairs an update."""

    examples_per_pass: int = Field(default=4, ge=1)
    """Pairs a forward pass, of each process. The preference loss does not depend on it; the mean of
    the supervised one is over the tokens of each pass."""

    optimizer: SupervisedOptimizer = SupervisedOptimizer(lr=1e-6)
    """Steps and learning rate."""

    def refuse_equal_sides(self, last: str) -> None:
        """Raise ValueError where every pair would be one text twice; ``last`` is the stage that
        the source ``last`` means here. A file may hold both sides of its pairs, so it may be named
        twice."""
        chosen, rejected = _told(self.chosen, last), _told(self.rejected, last)
        if chosen == rejected and not Path(chosen.source).suffix:
            raise ValueError(
                f"stage '{self.name}': chosen and rejected are the same traces of "
                f"'{chosen.source}', filtered and changed alike, so every pair would be one text "
                "twice and there would be nothing to prefer. Name another source for one side, or "
                'filter or change it: rejected.filters=[{ type = "gold", correct = false }], '
                'rejected.transforms=[{ type = "corrupt_format" }].'
            )


def _told(side: TraceSource, last: str) -> TraceSource:
    """The source with the stage it means; its name counts only where it decides what is drawn."""
    draws = side.count is not None or side.share is not None
    source = last if side.source == LAST else side.source
    return side.model_copy(update={"source": source, "name": side.name if draws else ""})
