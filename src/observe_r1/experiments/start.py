"""The untrained model, asked as each arm asks it: what training has changed is read against it.

out/start/<key>/    one evaluation for all arms that ask alike
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from observe_r1.config.evaluation import Evaluation
from observe_r1.config.questions import PUZZLES
from observe_r1.eval.run import SCORES, evaluate
from observe_r1.experiments.measuring import asking_stage, final_questions, final_settings
from observe_r1.experiments.plan import Experiment
from observe_r1.experiments.readouts import Numbers, read_final
from observe_r1.experiments.trial import resolve_trial
from observe_r1.stages.engines import open_engine

START = "start"


def measure_start(experiment: Experiment, out: Path, model: str) -> None:
    """Evaluate the model before any training, where the experiment wants it and it is not done."""
    waiting = {
        folder: settings
        for _, folder, settings in _askings(experiment, out, model)
        if not (folder / SCORES).exists()
    }
    if not waiting:
        return
    questions = final_questions(experiment.measure)
    with open_engine(model) as engine:
        for folder, settings in waiting.items():
            evaluate(engine, questions, settings, folder, model=START)


def read_start(experiment: Experiment, out: Path, model: str | None = None) -> dict[str, Numbers]:
    """Arm → readouts of the untrained model; empty where they were not measured."""
    questions = final_questions(experiment.measure)
    return {
        arm: read_final(folder, questions)
        for arm, folder, _ in _askings(experiment, out, model or experiment.model)
        if (folder / SCORES).exists()
    }


def _askings(
    experiment: Experiment, out: Path, model: str
) -> Iterator[tuple[str, Path, Evaluation]]:
    """How each arm asks in the end, and the folder that belongs to it."""
    if not experiment.measure.start or not experiment.measure.questions:
        return
    for arm in experiment.arms:
        run = resolve_trial(experiment, arm, 0, model=model, data=PUZZLES)
        settings = final_settings(asking_stage(run), START, experiment.measure)
        key = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
        yield arm.name, out / START / hashlib.sha256(key.encode()).hexdigest()[:10], settings
