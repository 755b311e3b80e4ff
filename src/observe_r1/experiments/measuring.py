"""What a trained trial is measured on: answers to held-out puzzles, losses of their solutions.

out/eval/final/      the last stage, asked as it was trained
out/eval/shortcut/   the same puzzles with a hint in the text
out/eval/<name>/     what the experiment measures besides
out/eval/losses.json
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import Evaluation
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.run import RunConfig
from observe_r1.config.spans import Spans
from observe_r1.config.stages import AskingStage
from observe_r1.config.teach import SolverTeacher
from observe_r1.data.puzzles import MIX, held_out, make_sample
from observe_r1.data.puzzles.variation import Variation
from observe_r1.data.traces import TraceSet
from observe_r1.errors import ConfigError
from observe_r1.eval.run import evaluate
from observe_r1.experiments.plan import Also, Experiment, HeldOutLoss, Measurement
from observe_r1.records import write_json
from observe_r1.stages.engines import open_engine
from observe_r1.stages.handover import stage_folders
from observe_r1.stages.measure import evaluation_of
from observe_r1.stages.models import locate_model
from observe_r1.stages.solver import solve
from observe_r1.types import Sample

EVAL, FINAL, SHORTCUT, LOSSES = "eval", "final", "shortcut", "losses.json"


def measure_trial(
    experiment: Experiment, run: RunConfig, folder: Path, *, label: str
) -> list[Sample]:
    """Every measurement of a trial; returns the questions of the final one."""
    measure = experiment.measure
    questions = final_questions(measure)
    if questions:
        stage = asking_stage(run)
        with open_engine(str(folder)) as engine:
            for name, asked in _final(measure, questions):
                config = final_settings(stage, name, measure)
                evaluate(engine, asked, config, folder / EVAL / name, model=label)
    for also in measure.also:
        _measure_also(measure, also, run, folder, label)
    if measure.losses:
        write_json(folder / EVAL / LOSSES, _losses(measure.losses, folder))
    return questions


def final_questions(measure: Measurement) -> list[Sample]:
    return held_out(measure.questions, measure.families or MIX, measure.levels)


def asking_stage(run: RunConfig) -> AskingStage:
    """The last stage that says how the model is asked."""
    stage = run.asking_stage
    if stage is None:
        raise ConfigError(f"recipe '{run.recipe}' has no stage that says how to ask its model.")
    return stage


def _final(measure: Measurement, questions: list[Sample]) -> list[tuple[str, list[Sample]]]:
    found = [(FINAL, questions)]
    return [*found, (SHORTCUT, shortcut_puzzles(questions))] if measure.shortcut else found


def shortcut_puzzles(questions: Sequence[Sample]) -> list[Sample]:
    """The same puzzles with a hint in the text that is right about two times in three."""
    hint = Variation(shortcut=True)
    return [
        make_sample(
            str(q.family), q.metadata["seed"], q.metadata["index"], q.metadata["puzzle_level"], hint
        )
        for q in questions
    ]


def final_settings(stage: AskingStage, name: str, measure: Measurement) -> Evaluation:
    """How the final questions are asked of weights that were trained by ``stage``."""
    return _settings(stage, name, measure, measure.samples, greedy=measure.greedy)


def _settings(
    stage: AskingStage, name: str, measure: Measurement, samples: int, *, greedy: bool
) -> Evaluation:
    # One seed for all trials: the same dice, whatever was trained.
    config = evaluation_of(stage, name, samples=None if greedy else samples, seed=0)
    changes: dict[str, Any] = {"name": name, "batch_size": 32}
    if measure.max_new_tokens is not None:
        limit = {"max_new_tokens": measure.max_new_tokens}
        changes["sampling"] = config.sampling.model_copy(update=limit)
    return config.model_copy(update=changes)


def _measure_also(
    measure: Measurement, also: Also, run: RunConfig, folder: Path, label: str
) -> None:
    """Answers of a stage's weights; of a stage that the arm leaves out there are none."""
    places = {stage.name: place for place, stage in stage_folders(run, folder)}
    if also.stage is not None and also.stage not in places:
        return
    model = folder if also.stage is None else places[also.stage]
    named = next((s for s in run.active_stages if s.name == also.stage), None)
    stage = named if isinstance(named, AskingStage) else asking_stage(run)
    config = _settings(stage, also.name, measure, also.samples, greedy=False)
    if also.grammar is not None:
        config = config.model_copy(update={"grammar": also.grammar, "system_prompt": None})
    asked = also_questions(measure, also)
    with open_engine(str(model)) as engine:
        evaluate(engine, asked, config, folder / EVAL / also.name, model=label)


def also_questions(measure: Measurement, also: Also) -> list[Sample]:
    return held_out(also.questions, also.families or measure.families or MIX, measure.levels)


def _losses(wanted: Sequence[HeldOutLoss], folder: Path) -> dict[str, float]:
    """Mean negative log-probs of the solver's traces, under the weights of the last stage."""
    from observe_r1.policy.load import load_policy
    from observe_r1.stages.examples import ExampleMaker
    from observe_r1.stages.scoring import mean_loss

    policy = load_policy(locate_model(str(folder)), PolicyConfig(dtype="float32"))
    policy.packed.eval()
    maker = ExampleMaker(policy, Spans())
    found = {}
    for loss in wanted:
        traces = solver_traces(loss)
        found[loss.name] = mean_loss(policy, maker.make_all(traces, loss.name))
    return found


def solver_traces(loss: HeldOutLoss) -> TraceSet:
    """The solver's traces of the held-out puzzles that a loss is of."""
    samples = held_out(loss.questions, loss.families)
    rows = [
        solve(s, SolverTeacher(), grammar=loss.grammar, number=0, seed=0, stage="held out")
        for s in samples
    ]
    return TraceSet(tuple(rows), {sample.id: sample for sample in samples})
