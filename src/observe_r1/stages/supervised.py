"""What ``sft`` and ``dpo`` share: load, resume, train step by step, record, measure, save, stop.

A stage's folder has the layout of every run: ``metrics.jsonl`` a row a step, ``checkpoints/``,
``eval/``. A stage that was stopped goes on to the bit: weights, float32 copies, moments and random
numbers come from the checkpoint, and the examples of a step are a function of the seed alone.
"""

import math
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from observe_r1.config.rollout import SharedPrefill
from observe_r1.errors import RunError, TrainingError
from observe_r1.policy.load import Policy, load_policy
from observe_r1.rollout.base import RolloutEngine
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.stages.check_launch import SupervisedStage, refuse_sharded, share_of_step
from observe_r1.stages.environment import facts
from observe_r1.stages.moments import keep_moments
from observe_r1.train.distribute import Processes
from observe_r1.train.memory import memory_metrics
from observe_r1.train.purse import Purse
from observe_r1.train.recorder import Recorder
from observe_r1.train.state import (
    CHECKPOINTS,
    TrainState,
    checkpoint_folder,
    latest_checkpoint,
    load_training,
    load_weights,
    point,
    read_state,
    save_checkpoint,
)  # fmt: skip

Measure = Callable[[RolloutEngine, int], dict[str, float]]
Notify = Callable[[int, dict[str, float]], None]
MAX_WINDOW = 10_000
"""Steps over which ``until_token_accuracy`` looks back at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a supervised stage goes through its examples.

    Example:
        Plan(order=(4, 0, 2, 1), examples_per_step=2, examples_per_pass=2, first_step=0,
             total_steps=2)
    """

    order: Sequence[int]
    """Places of the examples in the order they are learnt, from ``first_step`` on."""
    examples_per_step: int
    examples_per_pass: int
    first_step: int
    """Steps that were done before."""
    total_steps: int
    """Steps of the whole stage; the learning rate depends on it."""


def count_steps(stage: SupervisedStage, num_examples: int) -> int:
    """``max_steps``, or as many as it takes to see the examples ``epochs`` times."""
    if stage.max_steps is not None:
        return stage.max_steps
    return max(1, math.ceil(stage.epochs * num_examples / stage.examples_per_step))


def make_plan(
    stage: SupervisedStage, num_examples: int, first_step: int, world: int,
    lengths: Sequence[int] | None = None,
) -> Plan:  # fmt: skip
    """The order of examples: seeded epochs one after the other, from the first step to do.

    With ``lengths``, the longest of a step come first, so that its passes are padded little.

    Example (lengths 9, 1, 8, 2, two examples a pass): passes of 9 and 8, then of 2 and 1
    """
    total, a_step = count_steps(stage, num_examples), stage.examples_per_step
    stream = islice(_epochs(num_examples, stage.seed), first_step * a_step, total * a_step)
    order: list[int] = []
    while step := list(islice(stream, a_step)):
        order += step if lengths is None else sorted(step, key=lambda place: -lengths[place])
    return Plan(
        order=tuple(order),
        examples_per_step=a_step,
        examples_per_pass=_pass_size(stage, world),
        first_step=first_step,
        total_steps=total,
    )


def _epochs(num_examples: int, seed: int) -> Iterator[int]:
    epoch = 0
    while True:
        order = list(range(num_examples))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        yield from order
        epoch += 1


def _pass_size(stage: SupervisedStage, world: int) -> int:
    """The largest pass within the limit that divides a process's share of a step evenly."""
    share = share_of_step(stage, world)
    limit = min(share, stage.examples_per_pass)
    return next(size for size in range(limit, 0, -1) if share % size == 0)


@dataclass(slots=True)
class Start:
    """What a stage begins with: a policy, and the checkpoint to go on from if there is one."""

    policy: Policy
    checkpoint: Path | None
    processes: Processes
    values: dict[str, Any] = field(default_factory=dict)
    """What the checkpoint remembers; empty at a beginning."""

    @property
    def first_step(self) -> int:
        return self.values.get("step", 0)


def start(stage: SupervisedStage, model: str, run: Path, resume: bool) -> Start:
    """Load the weights the stage starts from; those of a checkpoint are loaded by ``go_on``."""
    processes = Processes.launched()
    refuse_sharded(stage, processes.sharded)
    checkpoint = latest_checkpoint(run) if resume else None
    if processes.count > 1:
        processes.check_alike(facts(stage, model, (), checkpoint))
    if not resume and processes.from_main(lambda: (run / CHECKPOINTS).exists()):
        raise RunError(f"{run} already holds a run. Go on with --resume, or choose another --out.")
    torch.manual_seed(stage.seed)  # fresh adapters are drawn from it
    policy = load_policy(model, stage.policy)
    return Start(policy, checkpoint, processes, read_state(checkpoint) if checkpoint else {})


class Progress:
    """Told about every finished step: writes its row, measures, saves, and says when to stop."""

    def __init__(
        self, stage: SupervisedStage, begun: Start, run: Path, *,
        measure: Measure | None, validate: Callable[[], dict[str, float]], notify: Notify | None,
        names: dict[str, str], window: int, purse: Purse | None,
    ) -> None:  # fmt: skip
        self.stage, self.begun, self.run = stage, begun, run
        self.measure, self.validate, self.notify = measure, validate, notify
        self.names = names
        self.recorder = Recorder(run, enabled=begun.processes.is_main)
        values = begun.values
        self.recorder.rewind(values.get("sizes", {}))
        self.state = TrainState(
            step=begun.first_step, seconds=values.get("seconds", 0.0), best=values.get("best"),
            best_step=values.get("best_step"), purse=purse or Purse(),
        )  # fmt: skip
        if begun.processes.is_main:
            self.state.name_best(run)
        self.state.purse.spend_rows(run)
        self.window = min(window, MAX_WINDOW)
        self.recent: list[float] = list(values.get("recent", ()))
        self.tokens = 0.0
        self.trainer: Any = None
        self._last = time.perf_counter()

    def restart_clock(self) -> None:
        self._last = time.perf_counter()

    def __call__(self, step: int, logs: dict[str, float]) -> bool:
        """After the optimizer's step; True: stop here."""
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise TrainingError(
                f"stage '{self.stage.name}', step {step}: loss or gradient is not finite "
                f"(loss {logs['loss']}, gradient norm {logs.get('grad_norm')}). Lower "
                "optimizer.lr, or train in float32; the last checkpoint is untouched."
            )
        metrics = self._metrics(logs)
        self.begun.policy.packed.eval()
        if self._is_due(step, self.stage.eval_every):
            metrics |= self.begun.processes.from_main(lambda: self._measure(step))
        now = time.perf_counter()
        metrics |= {"timing/step": now - self._last} | memory_metrics(self.begun.policy.device)
        self.state.step, self.state.seconds = step, self.state.seconds + now - self._last
        self._last = now
        self.recorder.write(step, (), metrics)
        self.state.purse.spend(metrics)
        if self.begun.processes.is_main and self.notify:
            self.notify(step, metrics)
        is_best = self.state.improves(step, metrics.get("eval/accuracy"))
        if is_best or self._is_due(step, self.stage.save_every):
            self.save(is_best=is_best)
        return self.begun.processes.from_main(self._is_over)  # clocks differ, the end must not

    def _metrics(self, logs: dict[str, float]) -> dict[str, float]:
        metrics = {
            ours: float(logs[theirs]) for theirs, ours in self.names.items() if theirs in logs
        }
        # TRL counts from the start of the process; a row says what its own step computed.
        if "num_tokens" in logs:
            counted = float(logs["num_tokens"])
            metrics["tokens/computed"], self.tokens = counted - self.tokens, counted
        if "token_accuracy" in metrics:
            self.recent = [*self.recent, metrics["token_accuracy"]][-self.window :]
        return metrics

    def _measure(self, step: int) -> dict[str, float]:
        policy = self.begun.policy
        engine = SharedPrefillEngine(policy, SharedPrefill())
        return self.validate() | (self.measure(engine, step) if self.measure else {})

    def _is_due(self, step: int, every: int) -> bool:
        return bool(every) and step % every == 0

    def _is_over(self) -> bool:
        if self.state.purse.is_empty:
            return True
        minutes = self.stage.max_minutes
        if minutes is not None and self.state.seconds >= 60 * minutes:
            return True
        wanted = getattr(self.stage, "until_token_accuracy", None)
        full = len(self.recent) == self.window
        return wanted is not None and full and sum(self.recent) / len(self.recent) >= wanted

    def save(self, *, is_best: bool = False) -> None:
        """Everything as it stands after the last step."""
        values = {
            **self.state.state_dict(),
            "recent": self.recent,
            "sizes": self.recorder.sizes(),
        }
        folder = save_checkpoint(
            self.run, self.begun.policy, self.trainer.masters, _inner(self.trainer.optimizer),
            values, step=self.state.step, keep=self.stage.keep_checkpoints,
            processes=self.begun.processes,
        )  # fmt: skip
        if is_best and self.begun.processes.is_main:
            point(self.run, "best", folder)


def run_trainer(
    trainer: Any, progress: Progress, begun: Start, stage: SupervisedStage, model: str, run: Path
) -> Path:
    """Train what is left of the stage and return its last checkpoint."""
    progress.trainer = trainer
    _fill(trainer, begun, stage, model)
    progress.restart_clock()
    if len(trainer.plan.order) and not progress.state.purse.is_empty:
        trainer.train()
    begun.policy.packed.eval()
    if begun.processes.from_main(lambda: not checkpoint_folder(run, progress.state.step).exists()):
        progress.save()
    folder = latest_checkpoint(run)
    assert folder is not None  # it was written, or went on from
    return folder


def _fill(trainer: Any, begun: Start, stage: SupervisedStage, model: str) -> None:
    """Weights, moments and random numbers of a checkpoint, or kept moments at a beginning."""
    if begun.checkpoint is not None:
        load_weights(begun.policy, begun.checkpoint)
        load_training(
            begun.checkpoint, trainer.masters, trainer.optimizer, rank=begun.processes.rank
        )
        numbers = torch.get_rng_state()  # loading data draws some before the first step
        trainer.report.before_first_step = lambda: torch.set_rng_state(numbers)
    elif stage.optimizer_state == "keep":
        keep_moments(trainer.masters, trainer.optimizer, model, stage.name)


def _inner(optimizer: Any) -> torch.optim.Optimizer:
    """Without the wrapper that Accelerate puts around it."""
    return getattr(optimizer, "optimizer", optimizer)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Transformers wants a folder to write to; what it writes there is of no use. Nor is it our
    user's business that TRL asks the model for something that Transformers has renamed."""
    folder = Path(tempfile.mkdtemp(prefix="observe-r1-"))
    try:
        with warnings.catch_warnings():
            renamed = ".*gradient_checkpointing"
            warnings.filterwarnings("ignore", category=FutureWarning, message=renamed)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
