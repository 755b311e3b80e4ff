"""All trials of an experiment, over several processes.

Finished trials are never run again, so a stop costs only what was on its way.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from observe_r1.experiments.plan import Experiment
from observe_r1.experiments.trial import RESULT, Trial, run_trial
from observe_r1.experiments.verdicts import to_json, to_page
from observe_r1.records import read_json, write_atomic, write_json


def trials_of(experiment: Experiment) -> list[Trial]:
    """Every arm with every seed, seed by seed: what there is after a stop is balanced."""
    most = max(arm.seeds for arm in experiment.arms)
    return [
        Trial(arm.name, seed) for seed in range(most) for arm in experiment.arms if seed < arm.seeds
    ]


def run_experiment(
    experiment: Experiment,
    out: Path,
    *,
    jobs: int = 1,
    notify: Callable[[Trial, dict[str, Any]], None] = lambda trial, result: None,
) -> dict[str, dict[int, dict[str, float]]]:
    """Run what is not done yet; returns arm → seed → readouts."""
    waiting = [t for t in trials_of(experiment) if not (t.folder(out) / RESULT).exists()]
    if jobs == 1:
        for trial in waiting:
            notify(trial, run_trial(experiment, trial, out))
    else:
        _run_in_processes(experiment, waiting, out, jobs, notify)
    return collect(experiment, out)


def _run_in_processes(
    experiment: Experiment,
    waiting: Iterable[Trial],
    out: Path,
    jobs: int,
    notify: Callable[[Trial, dict[str, Any]], None],
) -> None:
    # A fresh interpreter a process: a forked one would inherit PyTorch's threads half-way.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, _limit_threads, (threads,)) as pool:
        running = {pool.submit(run_trial, experiment, trial, out): trial for trial in waiting}
        try:
            for done in as_completed(running):
                notify(running[done], done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _limit_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


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
) -> Path:
    """``<name>.json`` and ``<name>.md``; returns the former."""
    found = json.loads(json.dumps(to_json(experiment, results, quick=quick)))
    path = folder / f"{experiment.name}.json"
    write_json(path, found)
    write_atomic(folder / f"{experiment.name}.md", to_page(found))
    return path
