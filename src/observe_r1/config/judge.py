"""A judge of style is fitted on traces of two styles; rewards of type ``style`` ask it."""

from typing import Literal

from pydantic import Field

from observe_r1.config.stage_base import StageBase
from observe_r1.config.traces import TraceSource


class JudgeStage(StageBase):
    """Fits a small classifier of reasoning texts and keeps it as ``judge.json``, with how well it
    tells the styles apart and how much of that is length. It trains no model and hands on the
    weights it was given."""

    type: Literal["judge"] = "judge"

    name: str = Field(default="judge", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides, and what a ``style`` reward calls it."""

    style: TraceSource = TraceSource()
    """Traces in the style that is to be rewarded."""

    other: TraceSource = TraceSource()
    """Traces in the other style."""

    section: str = "think"
    """The section whose text is judged."""

    held_out_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the texts that the judge is checked on and not fitted on."""

    least_auc: float = Field(default=0.8, ge=0.5, le=1.0)
    """With a judge that tells held-out texts apart less well than this the run stops."""
