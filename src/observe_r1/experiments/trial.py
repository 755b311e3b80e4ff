"""One arm with one seed: data, training, measurement, in a folder of its own.

out/ladders/seed-3-paper/      probed once a seed, arranged once a way of mixing
out/trials/full/seed-3/        the run folder; result.json when everything is done
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import HeldOut
from observe_r1.config.order import needs_moments
from observe_r1.config.questions import PUZZLES
from observe_r1.config.run import RunConfig
from observe_r1.config.show import setting_lines
from observe_r1.config.stages import Stage, TrainingStage
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.ladder_folder import write_ladder
from observe_r1.data.puzzles import MIX, get_family
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.errors import RunError
from observe_r1.experiments.bases import BASES, make_base
from observe_r1.experiments.measuring import measure_trial
from observe_r1.experiments.plan import Arm, Experiment
from observe_r1.experiments.readouts import read_trial
from observe_r1.experiments.sharing import begin, publish
from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_results
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, write_json
from observe_r1.stages.demo import note_correct_length
from observe_r1.stages.engines import open_engine
from observe_r1.stages.locks import only_one
from observe_r1.stages.pipeline import CONFIG, load_run_config, run_recipe
from observe_r1.stages.questions import correct_length
from observe_r1.stages.user_files import changed_files

RESULT = "result.json"
TRIAL_STREAM = 70_000
"""Seeds of the trials' own training puzzles start here; settings were tuned on others."""
STREAMS_A_SEED = 100
"""Streams that stages of one trial may name; those of the next seed come after them."""


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


def run_trial(
    experiment: Experiment, trial: Trial, out: Path, bases: Path = BASES
) -> dict[str, Any]:
    """The readouts of a trial; what is already done is not done again."""
    if (finished := read_finished(experiment, trial, out)) is not None:
        return finished
    folder = trial.folder(out)
    arm = experiment.arm(trial.arm)
    model = base_model(experiment, bases)
    data = str(_ladder(experiment, arm, trial.seed, out)) if experiment.probed else PUZZLES
    run = resolve_trial(experiment, arm, trial.seed, model=model, data=data)
    publish(run, folder)
    others = [
        Trial(other.name, trial.seed).folder(out)
        for other in experiment.arms
        if other.name != arm.name
    ]
    run_recipe(run, folder, resume=begin(run, folder, others))
    questions = measure_trial(experiment, run, folder, label=trial.arm)
    result = read_trial(experiment, run, folder, questions) | {"on_gpu": float(has_gpu())}
    write_json(folder / RESULT, result)
    _drop_moments(run, folder)
    return result


def read_finished(experiment: Experiment, trial: Trial, out: Path) -> dict[str, Any] | None:
    """The readouts of a trial that has ended; refused where it is one of another method."""
    folder = trial.folder(out)
    if not (folder / RESULT).exists():
        return None
    refuse_changed(experiment, trial, folder)
    return read_json(folder / RESULT)


def refuse_changed(experiment: Experiment, trial: Trial, folder: Path) -> None:
    """A finished trial of a recipe, or of a reward, that has been changed since is of another
    method: its numbers do not go with those of later ones."""
    if not (folder / CONFIG).exists():
        return  # carried here from a result, which says which experiment it is of
    there = load_run_config(folder)
    if there.data != PUZZLES and not Path(there.data).exists():
        return  # carried here without the ladder that its settings were measured on
    arm = experiment.arm(trial.arm)
    now = resolve_trial(experiment, arm, trial.seed, model=there.model, data=there.data)
    changed = changed_files(now, folder)
    for one, other in zip(there.stages, now.stages, strict=False):
        lines = set(setting_lines(one)) ^ set(setting_lines(other))
        changed += [f"{one.name}.{line}" for line in sorted(lines)]
    if changed or len(there.stages) != len(now.stages):
        raise RunError(
            f"{folder} was run with another recipe than '{trial.arm}' is now, so the two are not "
            f"mixed: {', '.join(changed[:6]) or 'other stages'}. Choose another --out, or remove "
            "the trials of that arm."
        )


def has_gpu() -> bool:
    """Whether trials run on one here: their seconds are then others'."""
    import torch

    return torch.cuda.is_available()


def base_model(experiment: Experiment, bases: Path = BASES) -> str:
    """What the trials start from: the experiment's base, made if it is not there, or its model."""
    if experiment.base is None:
        return experiment.model
    return str(make_base(experiment.base, experiment.model, bases).folder)


def resolve_trial(
    experiment: Experiment, arm: Arm, seed: int, *, model: str, data: str
) -> RunConfig:
    """The run of an arm with a seed: every stage has the seed, and puzzles of its own."""
    shared = experiment.overrides if arm.recipe is None else ()
    choice = Choice(
        model=model, data=data, preset=experiment.preset, overrides=(*shared, *arm.overrides)
    )
    recipe = load_recipe(experiment.recipe_of(arm))
    run = resolve(recipe, choice, Machine(), lambda percent: correct_length(data, percent))
    measure = experiment.measure
    curve = HeldOut(
        data=PUZZLES if measure.curve_every else None,
        questions=measure.curve_questions,
        samples=measure.curve_samples,
        greedy=False,
    )
    stages = tuple(_seeded(stage, seed, measure.curve_every) for stage in run.stages)
    return run.model_copy(update={"heldout": curve, "budget": experiment.budget, "stages": stages})


def _seeded(stage: Stage, seed: int, curve_every: int) -> Stage:
    changes: dict[str, Any] = {"seed": seed}
    if isinstance(stage, TrainingStage):
        changes |= {"keep_checkpoints": 1}
    if stage.type == "rl":
        changes |= {"eval_every": curve_every}
    questions = getattr(stage, "questions", None)
    if questions is not None and questions.stream is not None:
        # Stages that name the same stream share its puzzles, in every trial.
        stream = TRIAL_STREAM + STREAMS_A_SEED * seed + questions.stream % STREAMS_A_SEED
        changes |= {"questions": questions.model_copy(update={"stream": stream})}
    return stage.model_copy(update=changes)


def _drop_moments(run: RunConfig, folder: Path) -> None:
    """A finished trial keeps its weights; optimizers take twice as much and nobody needs them."""
    if any(needs_moments(stage) for stage in run.active_stages):
        return
    for training in folder.glob("**/checkpoints/step-*/training"):
        shutil.rmtree(training)


def _ladder(experiment: Experiment, arm: Arm, seed: int, out: Path) -> Path:
    """The arm's ladder of a seed; built by whoever comes first, the others wait."""
    folder = out / "ladders" / f"seed-{seed}-{arm.mixing}"
    with only_one(out / "ladders" / f"seed-{seed}.lock"):
        if not (folder / "README.md").exists():
            _build_ladder(experiment, arm, seed, folder, out / "ladders" / f"seed-{seed}-probe")
    return folder


def _build_ladder(
    experiment: Experiment, arm: Arm, seed: int, folder: Path, store_folder: Path
) -> None:
    families: Sequence[Any] = [get_family(name) for name in MIX]
    puzzles = training_stream(list(families), TRIAL_STREAM + seed, experiment.probed)
    recipe = load_recipe(experiment.recipe)
    choice = Choice(model=experiment.model, data=PUZZLES, preset=experiment.preset)
    stage = resolve(recipe, choice, Machine(), lambda percent: 0).rl_stage
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
