"""The stages of a recipe. Every stage has a name, a seed, and weights it starts from.

    teach    traces from a solver, a teacher or a file     ─┐
    sample   traces from the model itself                  ─┴─▶ traces ─▶ sft, dpo
    sft      supervised fine-tuning on traces
    dpo      preference learning on pairs of traces
    rl       reinforcement learning on verifiable answers
    params   operations on weights
    judge    a classifier of style, for rewards

``RLStage`` is flat: it inherits the settings of scoring (``grammar``, ``rewards``, ``bonus`` …) and
weighting (``advantage``, ``weight``, ``admission`` …), so that an override reads
``rl.weight.sigma=1.2``. Defaults are plain GRPO; a recipe states what its paper changes.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from observe_r1.config.dpo import DPOStage
from observe_r1.config.judge import JudgeStage
from observe_r1.config.loss import ClippedLoss, Loss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.params import ParamsStage
from observe_r1.config.questions import Questions
from observe_r1.config.rollout import VLLM, Engine, Sampling, SharedPrefill, VLLMServer
from observe_r1.config.sample import SampleStage
from observe_r1.config.sft import SFTStage
from observe_r1.config.stage_base import StageBase, TrainingStage
from observe_r1.config.teach import TeachStage
from observe_r1.config_base import Config
from observe_r1.curriculum import CurriculumConfig, Shuffled
from observe_r1.rewards import Scoring
from observe_r1.weighting import Weighting


class Redraw(Config):
    """Dynamic sampling: groups the admission rule rejects are replaced by newly drawn prompts."""

    max_rounds: int = Field(default=0, ge=0)
    """How often a step may draw again; 0: rejected groups are not replaced."""


class RLStage(TrainingStage, Scoring, Weighting):
    """Reinforcement learning on verifiable answers: one step is P prompts × G completions."""

    type: Literal["rl"] = "rl"

    name: str = Field(default="rl", pattern=r"^[a-z][a-z0-9_]*$")
    """The word before the dot in overrides."""

    questions: Questions = Questions()
    """What is asked."""

    prompts_per_step: int = Field(default=128, ge=1)
    """P: questions a step."""

    group_size: int = Field(default=8, ge=1)
    """G: completions a question."""

    system_prompt: str | None = None
    """None: the grammar's own; empty: none at all."""

    curriculum: CurriculumConfig = Shuffled()
    """In which order questions come."""

    staleness: int = Field(default=0, ge=0)
    """How many steps ahead rollouts are drawn, and how many updates old they may be when they are
    trained on: 0, by the newest weights; 1, one step behind. ``engine.type=vllm_server`` then draws
    while the policy trains; other engines share its devices and gain nothing. Old tokens are
    weighted by ``loss.truncated_importance``."""

    redraw: Redraw = Redraw()
    """What happens to the places of rejected groups."""

    sampling: Sampling = Sampling()
    """How completions are drawn."""

    engine: Engine = SharedPrefill()
    """What draws them."""

    loss: Loss = ClippedLoss()
    """What is minimised."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """Steps, learning rate, updates per rollout."""

    @model_validator(mode="after")
    def _check_group(self) -> Self:
        if self.group_size < 2:
            raise ValueError(
                f"group_size is {self.group_size}, but a group's advantages compare its "
                "completions with each other, so every one would be zero. Set it to 2 or more."
            )
        return self

    @model_validator(mode="after")
    def _check_importance(self) -> Self:
        """vLLM's log-probs are taken after top-p, top-k and min-p: over fewer tokens than the
        trainer's, so that their ratio would be off by what was left out, at every token."""
        corrects = self.loss.truncated_importance is not None
        if isinstance(self.engine, VLLM | VLLMServer) and self.sampling.is_filtered and corrects:
            raise ValueError(
                "vLLM tells log-probs only after top_p, top_k and min_p have taken tokens away, "
                "and loss.truncated_importance needs them before. Set sampling.top_p=1, top_k=0 "
                "and min_p=0, or loss.truncated_importance=none, or engine.type=shared_prefill."
            )
        return self

    @property
    def epochs(self) -> int:
        """Passes over the data, as the curriculum counts them; 1 where it sets no number."""
        return getattr(self.curriculum, "epochs", None) or 1

    @property
    def completions_per_step(self) -> int:
        return self.prompts_per_step * self.group_size


Stage = Annotated[
    TeachStage | SampleStage | SFTStage | DPOStage | RLStage | ParamsStage | JudgeStage,
    Field(discriminator="type"),
]
"""Every stage type."""

AskingStage = TeachStage | SampleStage | SFTStage | DPOStage | RLStage
"""Those that say how questions are put to a model and its answers read."""

__all__ = [
    "AskingStage",
    "DPOStage",
    "JudgeStage",
    "ParamsStage",
    "RLStage",
    "Redraw",
    "SFTStage",
    "SampleStage",
    "Stage",
    "StageBase",
    "TeachStage",
    "TrainingStage",
]
