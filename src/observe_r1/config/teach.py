"""Traces from somebody else: the puzzles' solver, a teacher model, a server, a file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.rollout import VLLM, Endpoint, SharedPrefill
from observe_r1.config.sample import Drawing, WritingStage
from observe_r1.config_base import Config


class SolverTeacher(Config):
    """The exact solution that every puzzle knows; for puzzles only."""

    type: Literal["solver"] = "solver"

    style: Literal["full", "sketch"] = "full"
    """How much of the reasoning is written out."""

    careless: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of traces that look at a part of the picture and answer from it; such answers are
    often wrong. A noisy teacher, whose traces want the filter ``gold``."""

    moves: Literal["straight", "reflect", "recheck"] = "straight"
    """``reflect``: goes wrong first, notices and puts it right; ``recheck``: goes through the
    solution once more."""


class CheckpointTeacher(Config):
    """Another model, on this machine."""

    type: Literal["checkpoint"] = "checkpoint"

    model: str
    """A folder, a run, an earlier stage's name, a name on the hub, or ``tiny``."""

    engine: SharedPrefill | VLLM = Field(default=SharedPrefill(), discriminator="type")
    """What draws its responses."""


class GoldTeacher(Config):
    """The gold answers of the data, each alone in an answer section, without any reasoning."""

    type: Literal["gold"] = "gold"


class FileTeacher(Config):
    """Traces that exist already: a file of chats with images, or a folder of traces."""

    type: Literal["file"] = "file"

    path: str
    """A .json or .jsonl file with ``conversations`` or ``messages`` and ``image`` or ``images``,
    or a folder with traces.jsonl."""


Teacher = Annotated[
    SolverTeacher | GoldTeacher | CheckpointTeacher | Endpoint | FileTeacher,
    Field(discriminator="type"),
]


class TeachStage(WritingStage, Drawing):
    """The teacher answers the questions; its responses are the traces. It trains nothing and hands
    on the weights it was given.

    A solver and a file draw nothing: of the settings of drawing they use ``grammar`` alone, and a
    solver ``attempts``: so many traces a question, which differ where its moves are random.
    """

    type: Literal["teach"] = "teach"

    name: str = Field(default="teach", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    attempts: int = Field(default=1, ge=1)
    """Most responses drawn to a question."""

    teacher: Teacher = SolverTeacher()
    """Who writes."""

    show_images: bool = True
    """Whether the teacher sees the pictures. Without them it reads the question and the hint alone,
    say another stage's description; the trace is learnt with the pictures all the same."""

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        draws = self.teacher.type in ("checkpoint", "endpoint")
        for name in ("hint", "wanted", "attempts_per_round"):
            if getattr(self, name) is not None and not draws:
                raise ValueError(
                    f"{name} is for teachers that draw responses; a {self.teacher.type} draws "
                    f"none. Leave it out, or choose a checkpoint or an endpoint."
                )
        return self
