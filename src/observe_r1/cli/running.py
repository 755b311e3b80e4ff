"""A training run on the terminal: a bar with the numbers that matter, and a clean end."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.cli.console import IS_SECOND, Stopped, Tick, complain, err, progress, say

if TYPE_CHECKING:
    from observe_r1.config.run import RunConfig

PLAIN_EVERY, PLAIN_SECONDS = 10, 60.0
"""Off a terminal a line is printed every so many steps, and after so long: a step of a large model
takes minutes, and a job's log is all there is to see."""


def train_into(run: "RunConfig", out: Path, resume: bool) -> dict[str, Any]:
    """Run a recipe, show its progress, and say what was written."""
    from observe_r1.stages.pipeline import run_recipe

    with progress("training", _total_steps(run)) as tick:
        shown = StepLine(tick)
        try:
            checkpoint = run_recipe(run, out, resume=resume, notify=shown)
        except KeyboardInterrupt:
            raise Stopped(_how_to_go_on(run, out)) from None
    last = dict(shown.metrics)
    say(f"wrote {out}")
    say(f"  model    {checkpoint}")
    say(f"  look     observe-r1 report {out}, or observe-r1 view {out}")
    say(f"  measure  observe-r1 eval {out} --data {_held_out(run)} --out {out}-eval")
    return {"run": str(out), "checkpoint": str(checkpoint), "steps": shown.step, "metrics": last}


def _held_out(run: "RunConfig") -> str:
    """What to measure on: of a data folder that was trained on, numbers would be too good."""
    return run.heldout.data or ("puzzles" if run.data == "puzzles" else "HELD_OUT")


class StepLine:
    """What is shown after every step: on the bar, or as a line now and then."""

    def __init__(self, tick: Tick) -> None:
        self.tick = tick
        self.stage = ""
        self.step = 0
        """Of the stage that is running."""
        self.metrics: Mapping[str, float] = {}
        self._said_at = -math.inf

    def __call__(self, stage: str, step: int, total: int | None, metrics: dict[str, float]) -> None:
        note = f"{stage}: {summary(metrics)}"
        before = self.step if stage == self.stage else 0
        self.tick(step - before, note)  # a resumed run begins further on
        self.stage, self.step, self.metrics = stage, step, metrics
        is_due = (
            step % PLAIN_EVERY == 0 or step in (1, total) or self._silent_seconds() > PLAIN_SECONDS
        )
        if is_due and not (IS_SECOND or err.is_terminal):
            of = f"/{total}" if total else ""
            complain(f"{stage} step {step}{of}: {summary(metrics)}")
            self._said_at = time.monotonic()

    def _silent_seconds(self) -> float:
        return time.monotonic() - self._said_at


def summary(metrics: Mapping[str, float]) -> str:
    """Accuracy, format and length of a step, and held-out accuracy where it was measured.

    Example:
        summary({"accuracy": 0.5, "length": 60.0}) == "right 50%, 60 tokens"
    """
    parts = [f"loss {metrics['loss']:.3f}"] if "token_accuracy" in metrics else []
    shares = (
        ("accuracy", "right"), ("format", "format"), ("token_accuracy", "tokens right"),
        ("preference/accuracy", "preferred"), ("eval/accuracy", "held out"),
    )  # fmt: skip
    for name, label in shares:
        if name in metrics:
            parts.append(f"{label} {100 * metrics[name]:.0f}%")
    if "traces/kept" in metrics:
        parts.append(f"{metrics['traces/kept']:.0f} of {metrics['traces/written']:.0f} traces kept")
    if "params/moved" in metrics:
        parts.append(f"weights moved by {metrics['params/moved']:.3g}")
    if "length" in metrics:
        parts.append(f"{metrics['length']:.0f} tokens")
    if "timing/step" in metrics:
        parts.append(f"{metrics['timing/step']:.1f} s")
    return ", ".join(parts)


def _total_steps(run: "RunConfig") -> int | None:
    limits = [getattr(stage, "max_steps", None) for stage in run.active_stages]
    return None if None in limits else sum(limit for limit in limits if limit)


def _how_to_go_on(run: "RunConfig", out: Path) -> str:
    from observe_r1.stages.pipeline import CONFIG, load_run_config

    if not (out / CONFIG).exists():
        return "It had not begun, so nothing was kept. Give the same command again."
    begun = load_run_config(out)  # with the checkpoint, where the model is another run
    settings = " ".join((run.recipe, *run.overrides))
    command = f"observe-r1 train {settings} --model {begun.model} --data {run.data} --out {out}"
    if run.hardware:
        command += f" --hardware {run.hardware}"
    if run.preset != "full":
        command += f" --preset {run.preset}"
    return f"Everything up to the last checkpoint is in {out}. Go on with:\n  {command} --resume"
