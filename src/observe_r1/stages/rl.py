"""An RL stage: build the parts, run ``train.loop``."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from observe_r1.config.order import trains_no_endpoint
from observe_r1.config.rollout import VLLM, Endpoint, VLLMServer
from observe_r1.config.stages import RLStage
from observe_r1.curriculum import build_curriculum
from observe_r1.data.store import SampleSet, sample_ids
from observe_r1.errors import ConfigError, RunError
from observe_r1.policy.load import Policy, load_policy, replica
from observe_r1.policy.self_check import settle
from observe_r1.rollout.base import RolloutEngine
from observe_r1.rollout.engines import make_engine
from observe_r1.stages.check_launch import refuse_sharded_adapters
from observe_r1.stages.environment import facts
from observe_r1.stages.fit import check_fit
from observe_r1.stages.moments import keep_moments
from observe_r1.text import system_prompt
from observe_r1.train.ahead import Ahead
from observe_r1.train.distribute import Processes
from observe_r1.train.loop import Parts, train_rl
from observe_r1.train.optimise import Optimiser
from observe_r1.train.purse import Purse
from observe_r1.train.recorder import Recorder
from observe_r1.train.reference import Reference
from observe_r1.train.state import (
    CHECKPOINTS,
    TrainState,
    latest_checkpoint,
    load_training,
    load_weights,
    read_state,
)  # fmt: skip
from observe_r1.types import Sample

logger = logging.getLogger(__name__)

NUM_LOOKED_AT = 64
"""Of so many questions the one with the fewest pictures and the one with the most say how a family
that is not tested must be read."""

Measure = Callable[[RolloutEngine, int], dict[str, float]]
"""Held-out metrics of the engine's present weights after a step, such as ``eval/accuracy``."""


def run_rl(
    stage: RLStage,
    *,
    model: str,
    samples: Sequence[Sample],
    run: Path,
    resume: bool = False,
    measure: Measure | None = None,
    notify: Callable[[int, dict[str, float]], None] | None = None,
    processes: Processes | None = None,
    purse: Purse | None = None,
    held_out: Sequence[Sample] = (),
) -> Path:
    """Train and return the folder of the last checkpoint.

    With ``resume`` the run goes on from its latest checkpoint; without one it starts anew, and rows
    that are there already are set aside. ``held_out`` are the questions that ``measure`` asks.
    """
    processes = processes or Processes.launched()
    checkpoint = latest_checkpoint(run) if resume else None
    if processes.count > 1:
        processes.check_alike(facts(stage, model, sample_ids(samples), checkpoint))
    if not resume and processes.from_main(lambda: (run / CHECKPOINTS).exists()):
        raise RunError(f"{run} already holds a run. Go on with --resume, or choose another --out.")
    torch.manual_seed(stage.seed)  # fresh adapters are drawn from it
    policy = load_policy(model, stage.policy)
    settle_model(policy, samples, _prompt_of(stage))
    in_a_step = stage.prompts_per_step * (1 + stage.redraw.max_rounds)
    policy.encode.keep_last(in_a_step * (1 + stage.staleness))
    # Of the weights that training started from, so before those of a checkpoint are put in place.
    reference = Reference(policy) if stage.loss.kl.coefficient else None
    if checkpoint is not None:
        load_weights(policy, checkpoint)
    engine = build_engine(stage, policy, processes)
    try:
        parts = _build_parts(
            stage, policy, reference, engine, samples, held_out, run, measure, notify, processes
        )
        if checkpoint is None and stage.optimizer_state == "keep":
            keep_moments(parts.optimiser.masters, parts.optimiser.optimizer, model, stage.name)
        state = _restore(parts, checkpoint, samples)
        # The first process has cut the rows to the checkpoint's; what the others read may be older.
        state.purse = processes.from_main(lambda: _what_is_left(purse, run))
        try:
            train_rl(stage, parts, state)
        finally:
            engine.close()  # ends what is being drawn, so that nothing outlives the run
            parts.ahead.close()
    finally:
        engine.close()
    folder = latest_checkpoint(run)
    assert folder is not None  # the loop ends with a checkpoint
    return folder


def _prompt_of(stage: RLStage) -> str:
    return system_prompt(stage.grammar) if stage.system_prompt is None else stage.system_prompt


def settle_model(policy: Policy, samples: Sequence[Sample], prompt: str) -> None:
    """Before weights are copied, sharded or restored: all that come of them are read alike."""
    if not policy.packed.is_settled:
        some = sorted(samples[:NUM_LOOKED_AT], key=lambda sample: len(sample.images))
        settle(policy.packed, [policy.encode(sample, prompt) for sample in (some[0], some[-1])])


def _what_is_left(purse: Purse | None, run: Path) -> Purse:
    left = purse or Purse()
    left.spend_rows(run)
    return left


def build_engine(stage: RLStage, policy: Policy, processes: Processes) -> RolloutEngine:
    """The engine the stage names; those that cannot train are refused."""
    if isinstance(stage.engine, Endpoint):
        raise ConfigError(trains_no_endpoint(stage.name))
    refuse_sharded_adapters(stage, processes.sharded)
    has_own_weights = isinstance(stage.engine, VLLM | VLLMServer)
    sampled = replica(policy) if processes.sharded and not has_own_weights else policy
    return make_engine(stage.engine, lambda: sampled)


def _note_long_warm_up(stage: RLStage, num_updates: int) -> None:
    """A warm-up is counted in updates, and few questions make few of them."""
    advice = max(1, num_updates // 33) if math.isfinite(num_updates) else 0
    if 3 * stage.optimizer.warmup > num_updates and advice < stage.optimizer.warmup:
        logger.warning(
            "stage '%s': the learning rate rises for %d of %d updates: most of them learn little. "
            "Set %s.optimizer.warmup=%d, or train on more questions", stage.name,
            stage.optimizer.warmup, num_updates, stage.name, advice,
        )  # fmt: skip


def _build_parts(
    stage: RLStage, policy: Policy, reference: Reference | None, engine: RolloutEngine,
    samples: Sequence[Sample], held_out: Sequence[Sample], run: Path, measure: Measure | None,
    notify: Callable[[int, dict[str, float]], None] | None, processes: Processes,
) -> Parts:  # fmt: skip
    prompt = _prompt_of(stage)
    beside = engine.is_apart and stage.staleness > 0
    if beside:
        processes.separate_draws()
    hardest = check_fit(stage, policy, engine, samples, held_out, prompt, processes)
    max_steps = count_steps(stage, len(samples))
    num_updates = max_steps * stage.optimizer.updates_per_rollout
    if processes.is_main:
        _note_long_warm_up(stage, num_updates)
    return Parts(
        policy=policy,
        engine=engine,
        curriculum=build_curriculum(stage.curriculum, samples, stage.seed),
        ahead=Ahead(stage.staleness, max_steps, beside=beside),
        optimiser=Optimiser(
            policy, loss=stage.loss, optimizer=stage.optimizer, sampling=stage.sampling,
            system_prompt=prompt, total_updates=num_updates, processes=processes,
            reference=reference, hardest=hardest,
        ),
        recorder=Recorder(run, enabled=processes.is_main),
        processes=processes,
        run=run,
        system_prompt=prompt,
        max_steps=max_steps,
        evaluate=lambda step: measure(engine, step) if measure else {},
        notify=notify or (lambda step, metrics: None),
    )  # fmt: skip


def count_steps(stage: RLStage, num_samples: int) -> int:
    """``max_steps``, or as many as it takes to see the data ``epochs`` times."""
    if stage.max_steps is not None:
        return stage.max_steps
    return math.ceil(stage.epochs * num_samples / stage.prompts_per_step)


def find_samples(samples: Sequence[Sample], wanted: Iterable[str]) -> dict[str, Sample]:
    """Samples by id, without reading the pictures of others."""
    ids = set(wanted)
    if not ids:
        return {}
    if isinstance(samples, SampleSet):
        places = [i for i, known in enumerate(samples.column("id")) if known in ids]
        return {sample.id: sample for sample in samples.take(places)}
    return {sample.id: sample for sample in samples if sample.id in ids}


def _restore(parts: Parts, checkpoint: Path | None, samples: Sequence[Sample]) -> TrainState:
    """Put everything back as the checkpoint has it; rows past it are set aside."""
    if checkpoint is None:
        parts.recorder.rewind({})
        return TrainState()
    values: dict[str, Any] = read_state(checkpoint)
    if "optimiser" not in values:
        raise RunError(
            f"{checkpoint} was written by an earlier version of observe-r1. Go on with that "
            "version, or start a new run with the checkpoint as its model."
        )
    parts.recorder.rewind(values["sizes"])
    parts.curriculum.load_state_dict(values["curriculum"])
    parts.optimiser.load_state_dict(values["optimiser"])
    load_training(
        checkpoint, parts.optimiser.masters, parts.optimiser.optimizer, rank=parts.processes.rank
    )
    parts.ahead.load_state_dict(values.get("ahead", []), partial(find_samples, samples))
    # Engines that hold weights of their own began with the model's.
    parts.engine.sync(parts.policy, values["step"])
    state = TrainState.of(values)
    if parts.processes.is_main:
        state.name_best(parts.run)
    return state
