"""All trials of an experiment, over several processes.

out/experiment.json            what is run there: trials of another version are not mixed in
out/trials/<arm>/seed-<n>/     finished trials are never run again: a stop costs what was on its way
out/start/                     the untrained model, where the experiment measures it

Several commands may work in one folder, on one machine or on several that share it: a trial that
another one is at is passed over, and waited for at the end. Machines that share nothing take seeds
of their own; their trials are copied together, and the same command then finds all of them done. Or
the result that one has written is carried to the next (``known.py``).
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from observe_r1.errors import RunError
from observe_r1.experiments.bases import Base, make_base
from observe_r1.experiments.known import curve_of
from observe_r1.experiments.page import write_page
from observe_r1.experiments.plan import Experiment
from observe_r1.experiments.start import measure_start, read_start
from observe_r1.experiments.trial import RESULT, Trial, read_finished, run_trial
from observe_r1.experiments.verdicts import to_json
from observe_r1.process import keep_freed_memory
from observe_r1.records import read_json, write_json
from observe_r1.stages.locks import only_one

PLAN = "experiment.json"


def trials_of(experiment: Experiment, seeds_at_once: int = 1) -> list[Trial]:
    """Every arm with every seed, a few seeds after the other: what there is after a stop is
    balanced, and trials that run side by side have different seeds, so that each finds finished
    what it shares with the other arms of its seed."""
    most = max(arm.seeds for arm in experiment.arms)
    return [
        Trial(arm.name, seed)
        for first in range(0, most, seeds_at_once)
        for arm in experiment.arms
        for seed in range(first, min(first + seeds_at_once, arm.seeds))
    ]


def run_experiment(
    experiment: Experiment,
    out: Path,
    *,
    jobs: int = 1,
    notify: Callable[[Trial, dict[str, Any]], None] = lambda trial, result: None,
    seeds: Collection[int] | None = None,
) -> dict[str, dict[int, dict[str, float]]]:
    """Run what is not done yet; returns arm → seed → readouts. ``seeds`` None: all of them."""
    claim_folder(experiment, out)
    base = base_of(experiment, out)
    measure_start(experiment, out, str(base.folder) if base else experiment.model)
    wanted = [t for t in trials_of(experiment, jobs) if seeds is None or t.seed in seeds]
    for wait in (False, True):  # what others are at is left to them, and asked for at the end
        waiting = [t for t in wanted if read_finished(experiment, t, out) is None]
        run = partial(_run_alone, experiment, out=out, wait=wait)
        if jobs == 1:
            for trial in waiting:
                if (result := run(trial)) is not None:
                    notify(trial, result)
        elif waiting:
            _run_in_processes(run, waiting, jobs, notify)
    return collect(experiment, out)


def _run_alone(
    experiment: Experiment, trial: Trial, out: Path, *, wait: bool
) -> dict[str, Any] | None:
    """A trial's readouts; None where another process is at it and is not to be waited for."""
    folder = trial.folder(out)
    with only_one(folder.with_name(f"{folder.name}.lock"), wait=wait) as is_mine:
        return run_trial(experiment, trial, out, bases_folder(out)) if is_mine else None


def claim_folder(experiment: Experiment, out: Path) -> None:
    """Trials of one folder belong to one version of one experiment."""
    values = experiment.written()
    path = out / PLAN
    if path.exists() and read_json(path) != values:
        raise RunError(
            f"{out} holds trials of another version of '{experiment.name}' (see {PLAN} in it), and "
            "they are not mixed. Choose another --out, or remove that folder."
        )
    write_json(path, values)


def bases_folder(out: Path) -> Path:
    """Beside the experiments, which share them."""
    return out.parent / "bases"


def base_of(experiment: Experiment, out: Path) -> Base | None:
    """The base that the trials start from, made if it is not there; None where they need none."""
    if experiment.base is None:
        return None
    return make_base(experiment.base, experiment.model, bases_folder(out))


def _run_in_processes(
    run: Callable[[Trial], dict[str, Any] | None],
    waiting: Sequence[Trial],
    jobs: int,
    notify: Callable[[Trial, dict[str, Any]], None],
) -> None:
    # A fresh interpreter a process: a forked one would inherit PyTorch's threads half-way.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, _prepare_worker, (threads, os.getpid())) as pool:
        running = {pool.submit(run, trial): trial for trial in waiting}
        try:
            for done in as_completed(running):
                if (result := done.result()) is not None:
                    notify(running[done], result)
        except BaseException:  # Ctrl-C too: what has not begun must not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare_worker(threads: int, parent: int) -> None:
    import torch

    keep_freed_memory()
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would train on for nobody, and then wait for ever."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def collect(experiment: Experiment, out: Path) -> dict[str, dict[int, dict[str, float]]]:
    """The readouts of all finished trials."""
    results: dict[str, dict[int, dict[str, float]]] = {}
    for trial in trials_of(experiment):
        path = trial.folder(out) / RESULT
        if path.exists():
            results.setdefault(trial.arm, {})[trial.seed] = read_json(path)
    return results


def write_results(
    experiment: Experiment,
    results: dict[str, dict[int, dict[str, float]]],
    folder: Path,
    *,
    quick: bool,
    base: Base | None = None,
    jobs: int = 1,
    trials: Path | None = None,
) -> Path:
    """``<name>.json``, ``<name>.md`` and its figures; returns the first. ``trials`` is the folder
    the experiment ran in: learning curves and the start are read from it."""
    found: dict[str, Any] = to_json(experiment, results, quick=quick)
    found["machine"] = {"cpus": os.cpu_count(), "trials_at_once": jobs}
    if base is not None:
        cost = {"seconds": base.costs.seconds, "updated": base.costs.updated}
        found["base"] = {"name": base.name, "from": experiment.model, **cost}
    if trials is not None:
        found["start"] = read_start(experiment, trials)
        found["curves"] = read_curves(experiment, trials)
    path = folder / f"{experiment.name}.json"
    write_json(path, found)
    write_page(read_json(path), folder)
    return path


def read_curves(experiment: Experiment, out: Path) -> dict[str, dict[str, list[list[float]]]]:
    """Arm → seed → the points of its learning curve: tokens generated, held-out accuracy."""
    curves: dict[str, dict[str, list[list[float]]]] = {}
    for trial in trials_of(experiment):
        folder = trial.folder(out)
        if (folder / RESULT).exists() and (points := curve_of(folder)):
            curves.setdefault(trial.arm, {})[str(trial.seed)] = [list(point) for point in points]
    return curves
