"""A recipe's stages in order, into one run folder; each starts from the checkpoint of the last.

    run/ config.json  env.json                  what was decided, and where it ran
         metrics.jsonl  rollouts.jsonl  …       a recipe of one stage writes here
         eval/step-000040/  …                   held-out questions, measured while training

A recipe of several stages has a folder a stage: ``run/1-warm_up/``, ``run/2-rl/``.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from observe_r1.config.explain import build
from observe_r1.config.run import RunConfig
from observe_r1.config.stages import Stage
from observe_r1.errors import RunError
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import detect_machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, write_json
from observe_r1.stages.environment import environment, is_main_process, now
from observe_r1.stages.measure import measure_held_out, prepare_held_out
from observe_r1.stages.models import locate_model
from observe_r1.stages.questions import correct_length, load_questions
from observe_r1.stages.quiet import quiet_libraries
from observe_r1.types import Sample

CONFIG = "config.json"
ENVIRONMENT = "env.json"
MAY_CHANGE = {"max_steps", "max_minutes", "eval_every", "save_every", "keep_checkpoints"}
"""Stage settings that a resumed run may have otherwise: they do not change what a step does."""

Notify = Callable[[str, int, int | None, dict[str, float]], None]
"""Told after every step: the stage's name, the step, how many there will be, its metrics."""


def train(
    recipe: str,
    *,
    out: str | Path,
    data: str = "puzzles",
    model: str = "tiny",
    preset: str | None = None,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
) -> Path:
    """Run a recipe and return the folder of its last checkpoint: ``observe-r1 train`` in Python.

    Example:
        checkpoint = train("observe_r1", out="runs/first", overrides=("rl.max_steps=20",))
    """
    choice = Choice(model=model, data=data, preset=preset, overrides=overrides)
    run = resolve(
        load_recipe(recipe), choice, detect_machine(), lambda percent: correct_length(data, percent)
    )
    return run_recipe(run, Path(out), resume=resume)


def run_recipe(
    run: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    notify: Notify = lambda stage, step, total, metrics: None,
) -> Path:
    """Run every stage of a recipe; returns the folder of the last checkpoint."""
    samples = load_questions(run.data)
    held_out = prepare_held_out(run.heldout, samples, run.data)
    if not is_main_process():  # one process writes the run folder for all
        return _run_stages(run, out, samples, held_out, resume, notify)
    check_can_start(run, out, resume)
    with claimed_run_folder(run, out, resume):
        checkpoint = _run_stages(run, out, samples, held_out, resume, notify)
    write_json(out / ENVIRONMENT, {**read_json(out / ENVIRONMENT), "finished": now()})
    return checkpoint


def check_can_start(run: RunConfig, out: Path, resume: bool) -> None:
    """Refuse, before anything is loaded or written, what could not be started."""
    locate_model(run.model)
    if resume:
        _check_same_run(run, load_run_config(out))
    else:
        _refuse_occupied(out)


def _run_stages(
    run: RunConfig, out: Path, samples: Sequence[Sample], held_out: Sequence[Sample],
    resume: bool, notify: Notify,
) -> Path:  # fmt: skip
    from observe_r1.stages.rl import count_steps, run_rl

    quiet_libraries()
    model = locate_model(run.model)
    for folder, stage in stage_folders(run, out):
        total = count_steps(stage, len(samples))
        checkpoint = run_rl(
            stage,
            model=model,
            samples=samples,
            run=folder,
            resume=resume,
            measure=partial(measure_held_out, run.heldout, held_out, stage, folder),
            notify=partial(_notify_step, notify, stage.name, total),
        )
        model = str(checkpoint)
    return Path(model)


def _notify_step(
    notify: Notify, stage: str, total: int | None, step: int, metrics: dict[str, float]
) -> None:
    notify(stage, step, total, metrics)


def stage_folders(run: RunConfig, out: Path) -> list[tuple[Path, Stage]]:
    """Where each stage writes: the run folder itself when there is only one."""
    if len(run.stages) == 1:
        return [(out, run.stages[0])]
    return [(out / f"{n}-{stage.name}", stage) for n, stage in enumerate(run.stages, start=1)]


@contextmanager
def claimed_run_folder(run: RunConfig, out: Path, resume: bool) -> Iterator[None]:
    """A folder with the settings of the run. If the run fails before its first step (a model that
    cannot be loaded, say), nothing is left behind and the same command can be given again."""
    existed = out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CONFIG, run.model_dump(mode="json"))
    write_json(out / ENVIRONMENT, environment(resume))
    try:
        yield
    except BaseException:
        if not resume and not _has_begun(out):
            _empty(out, keep_folder=existed)
        for part in out.glob("**/.*.part"):  # a checkpoint that was being written
            shutil.rmtree(part, ignore_errors=True)
        raise


def _refuse_occupied(out: Path) -> None:
    if out.is_file():
        raise RunError(f"{out} is a file, so no run can be written into it. Choose another --out.")
    if out.is_dir() and any(out.iterdir()):
        is_run = (out / CONFIG).exists()
        what = "already holds a run" if is_run else "is not empty"
        advice = "Go on with --resume, or choose" if is_run else "Choose"
        raise RunError(f"{out} {what}, and nothing is overwritten. {advice} another --out.")


def _has_begun(out: Path) -> bool:
    return any(True for pattern in ("**/metrics.jsonl", "**/step-*") for _ in out.glob(pattern))


def _empty(out: Path, keep_folder: bool) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if keep_folder:
        out.mkdir(parents=True, exist_ok=True)


def load_run_config(out: Path) -> RunConfig:
    """The settings of a run folder; equal to those it was started with."""
    path = out / CONFIG
    if not path.exists():
        raise RunError(
            f"{out} holds no run: there is no {CONFIG} in it. Start one without --resume."
        )
    return build(RunConfig, read_json(path), f"{path}")


def _check_same_run(run: RunConfig, there: RunConfig) -> None:
    """A resumed run must do what the first part did; limits and rhythms may differ."""
    changed = sorted(_differences(_identity(run), _identity(there)))
    if changed:
        raise RunError(
            f"the run was started with another {', '.join(changed)}, so its steps could not be "
            "continued. Resume with the settings it was started with, or choose another --out."
        )


def _identity(run: RunConfig) -> dict[str, Any]:
    stages = {stage.name: stage.model_dump(mode="json", exclude=MAY_CHANGE) for stage in run.stages}
    return {"recipe": run.recipe, "model": run.model, "data": run.data, **stages}


def _differences(one: dict[str, Any], other: dict[str, Any], path: str = "") -> list[str]:
    found = []
    for key in sorted(one.keys() | other.keys()):
        mine, theirs, here = one.get(key), other.get(key), f"{path}{key}"
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += _differences(mine, theirs, f"{here}.")
        elif mine != theirs:
            found.append(here)
    return found
