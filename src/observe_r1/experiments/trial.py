"""One arm with one seed: ladder, training, measurement, in a folder of its own.

out/ladders/seed-3-paper/      probed once a seed, arranged once a way of mixing
out/trials/full/seed-3/        the run folder; result.json when everything is done
"""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import HeldOut
from observe_r1.config.run import RunConfig
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.ladder_folder import write_ladder
from observe_r1.data.puzzles import MIX, get_family, held_out
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.eval.run import evaluate
from observe_r1.experiments.plan import Arm, Experiment
from observe_r1.experiments.readouts import read_trial
from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_results
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, write_json
from observe_r1.stages.demo import note_correct_length
from observe_r1.stages.engines import open_engine
from observe_r1.stages.measure import evaluation_of
from observe_r1.stages.pipeline import run_recipe
from observe_r1.stages.questions import correct_length
from observe_r1.types import Sample

RESULT = "result.json"
TRIAL_STREAM = 70_000
"""Seeds of the trials' own training puzzles start here; settings were tuned on others."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One arm with one seed.

    Example:
        Trial("full", 3)
    """

    arm: str
    seed: int

    def folder(self, out: Path) -> Path:
        return out / "trials" / self.arm / f"seed-{self.seed}"


def run_trial(experiment: Experiment, trial: Trial, out: Path) -> dict[str, Any]:
    """The readouts of a trial; what is already done is not done again."""
    folder = trial.folder(out)
    if (folder / RESULT).exists():
        return read_json(folder / RESULT)
    arm = experiment.arm(trial.arm)
    ladder = _ladder(experiment, arm, trial.seed, out)
    run = _resolve(experiment, arm, trial.seed, ladder)
    can_resume = (folder / "checkpoints" / "latest").exists()
    if not can_resume:
        shutil.rmtree(folder, ignore_errors=True)  # what a stopped trial left
    run_recipe(run, folder, resume=can_resume)
    questions = held_out(experiment.measure.questions)
    shortcuts = shortcut_puzzles(questions)
    with open_engine(str(folder)) as engine:
        for name, asked in (("final", questions), ("shortcut", shortcuts)):
            config = evaluation_of(run.stages[-1], name, samples=experiment.measure.samples, seed=0)
            evaluate(engine, asked, config, folder / "eval" / name, model=trial.arm)
    result = read_trial(folder, questions, experiment.measure.target_accuracy)
    write_json(folder / RESULT, result)
    return result


def shortcut_puzzles(questions: Sequence[Sample]) -> list[Sample]:
    """The same puzzles with a hint in the text that is right about two times in three."""
    from observe_r1.data.puzzles import make_sample
    from observe_r1.data.puzzles.variation import Variation

    hint = Variation(shortcut=True)
    return [
        make_sample(
            str(q.family), q.metadata["seed"], q.metadata["index"], q.metadata["puzzle_level"], hint
        )
        for q in questions
    ]


def _resolve(experiment: Experiment, arm: Arm, seed: int, ladder: Path) -> RunConfig:
    measure = experiment.measure
    own = (f"rl.seed={seed}", f"rl.eval_every={measure.curve_every}")
    choice = Choice(
        model=experiment.model,
        data=str(ladder),
        preset=experiment.preset,
        overrides=(*experiment.overrides, *own, *arm.overrides),
    )
    run = resolve(
        load_recipe(experiment.recipe), choice, Machine(), lambda p: correct_length(str(ladder), p)
    )
    curve = HeldOut(
        data="puzzles",
        questions=measure.curve_questions,
        samples=measure.curve_samples,
        greedy=False,
    )
    return run.model_copy(update={"heldout": curve})


def _ladder(experiment: Experiment, arm: Arm, seed: int, out: Path) -> Path:
    """The arm's ladder of a seed; built by whoever comes first, the others wait."""
    folder = out / "ladders" / f"seed-{seed}-{arm.mixing}"
    with _only_one(out / "ladders" / f"seed-{seed}.lock"):
        if not (folder / "README.md").exists():
            _build_ladder(experiment, arm, seed, folder, out / "ladders" / f"seed-{seed}-probe")
    return folder


def _build_ladder(
    experiment: Experiment, arm: Arm, seed: int, folder: Path, store_folder: Path
) -> None:
    families = [get_family(name) for name in MIX]
    puzzles = training_stream(families, TRIAL_STREAM + seed, experiment.probed)
    recipe = load_recipe(experiment.recipe)
    choice = Choice(model=experiment.model, data="puzzles", preset=experiment.preset)
    stage = resolve(recipe, choice, Machine(), lambda percent: 0).stages[-1]
    config = ProbeConfig(
        grammar=stage.grammar, sampling=stage.sampling, direct=False, batch_size=32, seed=seed
    )
    with (
        open_engine(experiment.model) as engine,
        ProbeStore(store_folder, config.identity(experiment.model)) as store,
    ):
        probe(puzzles, engine, config, store)
    settings = LadderConfig(mixing=arm.mixing, unsolved="keep", easy_cut=0.0)
    ladder = build_ladder(puzzles, read_results(store_folder).difficulty, settings, seed=seed)
    write_ladder(folder, puzzles, ladder, settings, seed=seed, source="puzzles", overwrite=True)
    note_correct_length(folder, store_folder)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
