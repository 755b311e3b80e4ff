"""How a model is evaluated: which questions, how many answers each, sampled how."""

from typing import Literal

from pydantic import Field

from observe_r1.config.rollout import Sampling
from observe_r1.config_base import Config


class Evaluation(Config):
    """One evaluation: what is asked and how answers are drawn and read.

    Example:
        Evaluation(name="heldout", samples=8)     # eight sampled answers a question
        Evaluation(name="heldout-greedy", greedy=True)
    """

    name: str = Field(default="eval", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Folder of its results: ``eval/<name>/``."""

    greedy: bool = False
    """The most probable answer, once a question; ``samples`` and the temperature do not count."""

    samples: int = Field(default=1, ge=1)
    """Answers a question."""

    sampling: Sampling = Sampling()
    """Temperature, cut-offs and length limit of the answers."""

    grammar: str = "observe_think_answer"
    """Grammar whose format is counted as valid, and whose system prompt is used by default."""

    extract: Literal["tagged", "boxed", "plain"] = "tagged"
    """How the strict reading finds the answer; the lenient reading is always ``plain``."""

    system_prompt: str | None = None
    """None: the grammar's own; empty: none at all."""

    batch_size: int = Field(default=16, ge=1)
    """Questions answered at once; results are saved after each batch."""

    seed: int = 0
    """Start of the sampler's random numbers."""

    shrink_images_to: int | None = None
    """Pixels that a benchmark's larger pictures were scaled down to; None: as published."""

    @property
    def answers_per_question(self) -> int:
        return 1 if self.greedy else self.samples


class HeldOut(Config):
    """What training is measured on while it runs, and how often a stage may ask for it."""

    data: str | None = None
    """A data folder, or ``puzzles``. Questions that are also in the training set are refused."""

    questions: int = Field(default=0, ge=0)
    """How many held-out questions, spread evenly over the levels; 0: all of them."""

    samples: int = Field(default=4, ge=1)
    """Sampled answers a question."""

    greedy: bool = True
    """Whether the most probable answer is measured too."""
