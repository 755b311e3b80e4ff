"""A recipe's stages in order, into one run folder; each starts from the checkpoint of the last.

    run/ config.json  env.json                  what was decided, and where it ran
         metrics.jsonl  rollouts.jsonl  …       a recipe of one stage writes here
         eval/step-000040/  …                   held-out questions, measured while training

A recipe of several stages has a folder a stage: ``run/1-warm_up/``, ``run/2-rl/``, each with a
``done.json`` once it has come to its end. A resumed run passes over those.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from observe_r1.config.explain import build
from observe_r1.config.run import RunConfig
from observe_r1.config.sample import SampleStage
from observe_r1.config.show import settings_of
from observe_r1.config.stages import Stage
from observe_r1.config.teach import TeachStage
from observe_r1.data.traces import TRACES
from observe_r1.errors import RunError
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import detect_machine, used_by_this_run
from observe_r1.recipes.resolve import NO_HARDWARE, Choice, resolve
from observe_r1.records import read_json, read_rows, write_json
from observe_r1.stages.check import check_inputs
from observe_r1.stages.environment import environment, is_main_process, now
from observe_r1.stages.handover import Handover, stage_folders
from observe_r1.stages.locks import only_one
from observe_r1.stages.measure import prepare_held_out
from observe_r1.stages.models import keep_start, let_start_go, locate_model, pin_checkpoint
from observe_r1.stages.questions import correct_length, load_questions
from observe_r1.stages.quiet import quiet_libraries
from observe_r1.stages.run_stage import Notify, Work, run_stage
from observe_r1.stages.user_files import keep_user_files
from observe_r1.train.launch import settle_launch
from observe_r1.train.recorder import METRICS
from observe_r1.train.trackers import Trackers
from observe_r1.types import Sample

CONFIG = "config.json"
DONE = "done.json"
ENVIRONMENT = "env.json"
LOCK = ".lock"
LIMITS = ("max_steps", "max_minutes", "eval_every", "save_every", "keep_checkpoints")
"""Stage settings that a resumed run may have otherwise: they do not change what a step does."""
MEMORY = {
    "policy": {"max_tokens_per_microbatch"},
    "engine": {"memory_share", "max_sequences", "prefill_tokens"},
}
"""And those of how much is computed at a time: a resumed run may be on another machine."""
KEEPING = ("filters", "transforms", "at_least")
"""What becomes of drawn responses: may be otherwise as long as no stage has begun from them."""


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
    choice = Choice(
        model=model, data=data, preset=preset, overrides=overrides,
        hardware=hardware_of(Path(out)) if resume else None,
    )  # fmt: skip
    machine = used_by_this_run(detect_machine())
    run = resolve(
        load_recipe(recipe), choice, machine, lambda percent: correct_length(data, percent)
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
    # A run that it starts from may go on meanwhile; references and adapters are of what was begun.
    run = run.model_copy(update={"model": pin_checkpoint(run.model)})
    settle_launch()  # before anyone, a tracker say, asks Accelerate for the processes
    samples = load_questions(run.data)
    held_out = prepare_held_out(run.heldout, samples, run.data)
    if not is_main_process():  # one process writes the run folder for all
        return _run_stages(run, out, samples, held_out, resume, notify)
    check_can_start(run, out, resume)
    trackers = open_trackers(run, out)
    with claimed_run_folder(run, out, resume), trackers:
        keep_start(run.model, out)

        def tell(stage: str, step: int, total: int | None, metrics: dict[str, float]) -> None:
            notify(stage, step, total, metrics)
            trackers.log(stage, step, metrics)

        checkpoint = _run_stages(run, out, samples, held_out, resume, tell)
    write_json(out / ENVIRONMENT, {**read_json(out / ENVIRONMENT), "finished": now()})
    return checkpoint


def open_trackers(run: RunConfig, out: Path) -> Trackers:
    """Those that the run names; each is told what the run is."""
    known: dict[str, Any] = {
        "recipe": run.recipe, "preset": run.preset, "model": run.model, "data": run.data,
    }  # fmt: skip
    for stage in run.active_stages:
        known |= settings_of(stage)
    ended = [folder / METRICS for folder, _ in stage_folders(run, out) if (folder / DONE).exists()]
    before = sum(
        max((row["step"] for row in read_rows(path)), default=0) for path in ended if path.exists()
    )
    return Trackers(run.tracking, out, known, steps_before=before)


def check_can_start(run: RunConfig, out: Path, resume: bool) -> None:
    """Refuse, before anything is loaded or written, what could not be started."""
    locate_model(run.model)
    ended = [s.name for folder, s in stage_folders(run, out) if (folder / DONE).exists()]
    check_inputs(run, ended if resume else ())
    if resume:
        _check_same_run(run, load_run_config(out), out)
        _check_limits(run, out)
    else:
        _refuse_occupied(out)


def _run_stages(
    run: RunConfig, out: Path, samples: Sequence[Sample], held_out: Sequence[Sample],
    resume: bool, notify: Notify,
) -> Path:  # fmt: skip
    quiet_libraries()
    work = Work(run, Handover(run, out), samples, held_out, resume, notify)
    folders = stage_folders(run, out)
    for folder, stage in folders:
        if (folder / DONE).exists():
            continue
        run_stage(work, stage, folder)
        if len(folders) > 1 and is_main_process():
            limits = {name: getattr(stage, name) for name in LIMITS if hasattr(stage, name)}
            budget = run.budget.model_dump(mode="json")
            write_json(folder / DONE, {"finished": now(), "limits": limits, "budget": budget})
    return Path(work.handover.result())


@contextmanager
def claimed_run_folder(run: RunConfig, out: Path, resume: bool) -> Iterator[None]:
    """A folder with the settings of the run. If the run fails before its first step (a model that
    cannot be loaded, say), nothing is left behind and the same command can be given again."""
    existed = out.is_dir()
    with only_one(out / LOCK, wait=False) as is_mine:
        if not is_mine:
            raise RunError(
                f"another process is at work in {out}, and two would write into the same files. "
                "Wait until it has ended, or stop it, and give the same command again."
            )
        write_json(out / CONFIG, run.model_dump(mode="json"))
        write_json(out / ENVIRONMENT, environment(resume))
        keep_user_files(run, out)
        try:
            yield
        except BaseException:  # Ctrl-C too: a run that has not begun leaves nothing behind
            if not resume and not _has_begun(out):
                _empty(out, keep_folder=existed)
                let_start_go(run.model, out)
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


BEGUN = ("**/metrics.jsonl", "**/step-*", "**/drawn/rollouts.jsonl", "**/drawn/replies.jsonl")
"""What a run has only once there is something to lose."""


def _has_begun(out: Path) -> bool:
    return any(True for pattern in BEGUN for _ in out.glob(pattern))


def _empty(out: Path, keep_folder: bool) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if keep_folder:
        out.mkdir(parents=True, exist_ok=True)


def hardware_of(out: Path) -> str | None:
    """The machine preset that a run was begun with, to be gone on with wherever that is."""
    if not (out / CONFIG).exists():
        return None
    return read_json(out / CONFIG).get("hardware") or NO_HARDWARE


def load_run_config(out: Path) -> RunConfig:
    """The settings of a run folder; equal to those it was started with."""
    path = out / CONFIG
    if not path.exists():
        raise RunError(
            f"{out} holds no run: there is no {CONFIG} in it. Start one without --resume."
        )
    return build(RunConfig, read_json(path), f"{path}")


def _check_same_run(run: RunConfig, there: RunConfig, out: Path) -> None:
    """A resumed run must do what the first part did; limits and rhythms may differ."""
    changed = _differences(_identity(run, out), _identity(there, out))
    if changed:
        lines = "\n".join(f"  {key}: {then} then, {now} now" for key, now, then in changed)
        raise RunError(
            f"the run was started with another {', '.join(key for key, *_ in changed)}, so its "
            f"steps could not be continued:\n{lines}\nResume with the settings it was started "
            "with, or choose another --out."
        )


def _check_limits(run: RunConfig, out: Path) -> None:
    """A stage that others have begun from stays as long as it was; the last one may go on."""
    folders = stage_folders(run, out)
    for place, (folder, stage) in enumerate(folders):
        if not (folder / DONE).exists():
            continue
        done = read_json(folder / DONE)
        then, is_last = done["limits"], place + 1 == len(folders)
        longer = then.get("max_steps") != getattr(stage, "max_steps", None)
        if is_last and (longer or _has_more(run, stage, done)):
            (folder / DONE).unlink()
        elif longer:
            raise RunError(
                f"stage '{stage.name}' has ended after max_steps = {then.get('max_steps')}, and "
                f"'{folders[place + 1][1].name}' comes from it, so its length cannot be changed "
                f"any more. Leave {stage.name}.max_steps as it was, or choose another --out."
            )


def _has_more(run: RunConfig, stage: Stage, done: dict[str, Any]) -> bool:
    """Whether a stage may go on for longer, or on more tokens, than when it came to its end."""
    minutes = done["limits"].get("max_minutes") != getattr(stage, "max_minutes", None)
    budget = run.budget.model_dump(mode="json")
    return minutes or done.get("budget", budget) != budget


def _identity(run: RunConfig, out: Path) -> dict[str, Any]:
    still = {stage.name: still_free(stage, folder) for folder, stage in stage_folders(run, out)}
    stages = {
        stage.name: _without_memory(
            stage.model_dump(mode="json", exclude={*LIMITS, *still.get(stage.name, ())})
        )
        for stage in run.stages
    }
    model = pin_checkpoint(run.model)
    return {"recipe": run.recipe, "model": model, "data": run.data, **stages}


def _without_memory(stage: dict[str, Any]) -> dict[str, Any]:
    parts = {
        part: {key: value for key, value in stage[part].items() if key not in names}
        for part, names in MEMORY.items() if isinstance(stage.get(part), dict)
    }  # fmt: skip
    return stage | parts


def still_free(stage: Stage, folder: Path) -> tuple[str, ...]:
    """Settings of a stage that has no traces yet, which what it has drawn does not depend on: so
    filters that left nothing can be loosened, or more be drawn."""
    if not isinstance(stage, SampleStage | TeachStage) or (folder / TRACES).exists():
        return ()
    in_rounds = stage.attempts_per_round is not None  # else all attempts are one draw
    return (*KEEPING, "attempts", "wanted") if in_rounds else KEEPING


def _differences(
    one: dict[str, Any], other: dict[str, Any], path: str = ""
) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ, with both; a key that is missing counts as None."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted(one.keys() | other.keys()):
        mine, theirs, here = one.get(key), other.get(key), f"{path}{key}"
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += _differences(mine, theirs, f"{here}.")
        elif mine != theirs:
            found.append((here, mine, theirs))
    return found
