"""How long and how large a run will be: steps, tokens, and memory at the worst.

Memory is that of ``recipes.plan.memory`` with every completion at its limit and nothing sharded;
``observe-r1 plan`` says what a GPU holds and how long a step takes.
"""

from dataclasses import dataclass

from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.errors import ModelError
from observe_r1.recipes.model_size import billions_of_parameters
from observe_r1.recipes.plan.memory import Memory, memory_of
from observe_r1.recipes.plan.seconds import Layout
from observe_r1.recipes.plan.shapes import ModelShape, find_shape, typical_shape
from observe_r1.recipes.plan.workload import Lengths, workload_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Sizes of one RL stage; memory in GB (10⁹ bytes), None where the model's size is unknown."""

    steps: int | None
    completions_per_step: int
    max_generated_tokens_per_step: int
    max_generated_tokens: int | None
    billions: float | None
    memory_gb: dict[str, float] | None
    total_memory_gb: float | None
    """Less than the sum of the parts: rollout and update take turns."""


def estimate(run: RunConfig, stage: RLStage, model: str, num_samples: int | None) -> Estimate:
    """Sizes of one stage of a run; ``model`` is the folder or name the weights come from."""
    steps = count_steps(stage, num_samples)
    per_step = stage.completions_per_step * stage.sampling.max_new_tokens
    billions = billions_of_parameters(model)
    memory = None if billions is None else _memory(stage, model, billions)
    return Estimate(
        steps=steps,
        completions_per_step=stage.completions_per_step,
        max_generated_tokens_per_step=per_step,
        max_generated_tokens=None if steps is None else steps * per_step,
        billions=billions,
        memory_gb=None if memory is None else memory.parts,
        total_memory_gb=None if memory is None else memory.total,
    )


def count_steps(stage: RLStage, num_samples: int | None) -> int | None:
    """``max_steps``, or as many as it takes to see the data ``epochs`` times."""
    if stage.max_steps is not None or num_samples is None:
        return stage.max_steps
    return -(-num_samples * stage.epochs // stage.prompts_per_step)


def _memory(stage: RLStage, model: str, billions: float) -> Memory:
    """Over all GPUs together, weights once: what a single large one would hold."""
    work = workload_of(stage, 1, WORST, 1.0)
    return memory_of(_shape(model, billions), stage, work, Layout(), 0.0, 0.0)


WORST = Lengths(completion=2**31)
"""Every completion at its limit."""


def _shape(model: str, billions: float) -> ModelShape:
    try:
        return find_shape(model)
    except ModelError:
        return typical_shape(billions)
