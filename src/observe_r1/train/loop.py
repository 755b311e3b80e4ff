"""The RL loop, as the algorithm box of a paper has it. It knows no method: those are its parts.

choose ─▶ generate ─▶ score ─▶ observe ─▶ weigh ─▶ optimise ─▶ sync ─▶ record
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from observe_r1.config.stages import RLStage
from observe_r1.curriculum import Curriculum
from observe_r1.policy.load import Policy
from observe_r1.rewards import score_group
from observe_r1.rollout.base import RolloutEngine
from observe_r1.rollout.sampling import own_seed, stable_seed
from observe_r1.train.ahead import Ahead
from observe_r1.train.clock import Clock
from observe_r1.train.distribute import Processes
from observe_r1.train.draw import Draw, draw_groups
from observe_r1.train.memory import memory_metrics
from observe_r1.train.metrics import step_metrics
from observe_r1.train.optimise import Optimiser
from observe_r1.train.outcome import Outcome
from observe_r1.train.recorder import Recorder
from observe_r1.train.state import TrainState, checkpoint_folder, point, save_checkpoint
from observe_r1.types import Sample, ScoredGroup, WeightedGroup
from observe_r1.weighting import weigh_groups

logger = logging.getLogger(__name__)

CURRICULUM_ENDED = (
    "the curriculum has come to its end after step %d of %d, and so has the stage; "
    "curriculum.epochs=none goes on with it from the beginning"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the loop works with, built by ``stages.rl``."""

    policy: Policy
    engine: RolloutEngine
    curriculum: Curriculum
    ahead: Ahead
    optimiser: Optimiser
    recorder: Recorder
    processes: Processes
    run: Path
    system_prompt: str
    max_steps: int
    evaluate: Callable[[int], dict[str, float]]
    """Held-out metrics after a step; ``eval/accuracy`` decides which checkpoint is the best."""
    notify: Callable[[int, dict[str, float]], None]
    """Told about every step: the progress line, the trackers."""


def train_rl(stage: RLStage, parts: Parts, state: TrainState) -> TrainState:
    """Steps until a limit or the end of the curriculum."""
    for step in state.remaining_steps(parts.max_steps, stage.max_minutes, parts.processes):
        clock = Clock()
        # choose, generate, score, observe, weigh: for this step or, drawn ahead, for later ones
        draw = parts.ahead.take(step, partial(draw_step, stage, parts, clock))
        if not draw.weighted_P:
            if stage.max_steps is not None and parts.processes.is_main:
                logger.warning(CURRICULUM_ENDED, step - 1, parts.max_steps)
            break
        with clock.phase("optimise"):
            outcome = parts.optimiser.update(draw.weighted_P)
        with clock.phase("wait"):  # for what is drawn beside the update
            parts.ahead.wait()
        with clock.phase("sync"):
            parts.engine.sync(parts.policy, step)
        state.health.observe(draw.scored_P, had_signal=outcome.had_signal, finite=outcome.finite)
        is_best = record(stage, parts, state, step, draw, outcome, clock)
        if is_best or (stage.save_every and step % stage.save_every == 0):
            save(stage, parts, state, step, is_best=is_best)
    if parts.processes.from_main(lambda: not checkpoint_folder(parts.run, state.step).exists()):
        save(stage, parts, state, state.step)
    return state


def draw_step(stage: RLStage, parts: Parts, clock: Clock, step: int) -> Draw:
    """Choose, generate, score, observe, weigh."""

    def answer(samples_P: Sequence[Sample], round_number: int) -> list[ScoredGroup]:
        with clock.phase("generate"):
            mine_P = parts.engine.generate(
                parts.processes.share(samples_P),
                group_size=stage.group_size,
                sampling=stage.sampling,
                system_prompt=parts.system_prompt,
                seed=own_seed(
                    stable_seed(stage.seed, round_number),
                    [s.id for s in samples_P],
                    parts.processes.rank,
                ),
                step=step,
            )
        with clock.phase("score"):
            scored_P = [score_group(group, stage, step) for group in mine_P]
        with clock.phase("generate"):  # until the slowest process has done its share
            return parts.processes.gather(scored_P)

    def weigh(scored_P: Sequence[ScoredGroup]) -> list[WeightedGroup]:
        return weigh_groups(scored_P, stage)

    return draw_groups(
        stage.prompts_per_step, stage.redraw.max_rounds,
        choose=parts.curriculum.next_batch, answer=answer, observe=parts.curriculum.observe,
        weigh=weigh,
    )  # fmt: skip


def record(
    stage: RLStage, parts: Parts, state: TrainState, step: int, draw: Draw, outcome: Outcome,
    clock: Clock,
) -> bool:  # fmt: skip
    """Metrics and rows of a finished step, a measurement when it is due; whether it is the best."""
    metrics = step_metrics(draw, outcome, step - 1) | parts.curriculum.metrics()
    metrics["silent_steps"] = state.health.total_silent
    metrics["skipped_steps"] = state.health.total_nonfinite
    if stage.eval_every and step % stage.eval_every == 0:
        with clock.phase("evaluate"):
            metrics |= parts.processes.from_main(lambda: parts.evaluate(step))
    metrics |= clock.metrics() | memory_metrics(parts.policy.device)
    parts.recorder.write(step, draw.weighted_P, metrics)
    state.purse.spend(metrics)
    if parts.processes.is_main:
        parts.notify(step, metrics)
        for note in outcome.notes:
            logger.warning("step %d: %s", step, note)
    return state.improves(step, metrics.get("eval/accuracy"))


def save(
    stage: RLStage, parts: Parts, state: TrainState, step: int, *, is_best: bool = False
) -> None:
    """A checkpoint of everything as it stands after ``step``, draws included."""
    parts.ahead.wait()
    values: dict[str, Any] = {
        **state.state_dict(),
        "optimiser": parts.optimiser.state_dict(),
        "curriculum": parts.curriculum.state_dict(),
        "ahead": parts.ahead.state_dict(),
        "sizes": parts.recorder.sizes(),
    }
    folder = save_checkpoint(
        parts.run, parts.policy, parts.optimiser.masters, parts.optimiser.optimizer, values,
        step=step, keep=stage.keep_checkpoints, processes=parts.processes,
    )  # fmt: skip
    if is_best and parts.processes.is_main:
        point(parts.run, "best", folder)
