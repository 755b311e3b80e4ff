"""``observe-r1 eval``: a model on a data folder, the puzzles or a benchmark.

out/ config.json  env.json  samples.jsonl  images/
     eval/<name>/         predictions.jsonl  scores.json      sampled answers
     eval/<name>-greedy/  …                                   the most probable answer
"""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import Evaluation
from observe_r1.config.questions import PUZZLES
from observe_r1.config.run import RunConfig
from observe_r1.config.stages import AskingStage, JudgeStage, ParamsStage
from observe_r1.errors import RunError
from observe_r1.eval.asked import keep_questions
from observe_r1.eval.run import evaluate
from observe_r1.eval.scores import Scores
from observe_r1.eval.shared import collect, shared_evaluation, work_on_evaluation
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, write_json
from observe_r1.rollout.base import RolloutEngine
from observe_r1.shared import ShareSettings, open_bucket
from observe_r1.stages.environment import environment
from observe_r1.stages.models import TINY
from observe_r1.stages.pipeline import load_run_config
from observe_r1.types import Sample

Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked and how.

    Example:
        Plan(model="tiny", data="puzzles", samples=8, greedy=True,
             settings=Evaluation(name="puzzles"))
    """

    model: str
    """What the answers are recorded under; of a run, the checkpoint."""
    data: str
    samples: int
    """Sampled answers a question; 0: none."""
    greedy: bool
    settings: Evaluation

    def evaluations(self) -> list[Evaluation]:
        """The sampled evaluation, then the greedy one."""
        found = []
        if self.samples:
            found.append(self.settings.model_copy(update={"samples": self.samples}))
        if self.greedy:
            name = f"{self.settings.name}-greedy"
            found.append(self.settings.model_copy(update={"name": name, "greedy": True}))
        return found


def run_plan(
    plan: Plan,
    engine: RolloutEngine,
    questions: Sequence[Sample],
    out: Path,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Scores]:
    """Evaluate, or go on with an evaluation that was stopped; one ``Scores`` an evaluation."""
    _claim(plan, out)
    keep_questions(out, questions)
    return [
        evaluate(
            engine, questions, settings, out / "eval" / settings.name, model=plan.model, tick=tick
        )
        for settings in plan.evaluations()
    ]


def run_shared_plan(
    plan: Plan,
    engine: RolloutEngine,
    questions: Sequence[Sample],
    out: Path,
    store: str,
    settings: ShareSettings,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Scores] | int:
    """This worker's part. When every answer is there, the folder that one worker would have
    written appears whole, whoever comes first; before that, how many batches are missing."""
    is_new = not _is_claimed(plan, out)
    works = [
        shared_evaluation(
            questions, one, open_bucket(f"{store.rstrip('/')}/{one.name}"), model=plan.model,
            spool=out.with_name(f"{out.name}-unsent"), settings=settings,
        )
        for one in plan.evaluations()
    ]  # fmt: skip
    pairs = list(zip(works, plan.evaluations(), strict=True))
    missing = sum(work_on_evaluation(work, questions, engine, one, tick) for work, one in pairs)
    if missing:
        return missing
    part = out.with_name(f".{out.name}.{works[0].worker}.part")
    _claim(plan, part)
    keep_questions(part, questions)
    scores = [
        collect(work, questions, one, part / "eval" / one.name, plan.model) for work, one in pairs
    ]
    if is_new:
        with suppress(OSError):  # another worker's folder, with the same in it, is there already
            os.replace(part, out)
    shutil.rmtree(part, ignore_errors=True)
    return scores


def _claim(plan: Plan, out: Path) -> None:
    """Write what is evaluated; another model's or another data's folder is not written into."""
    if not _is_claimed(plan, out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "env.json", environment(resumed=False))
        write_json(out / "config.json", _settings(plan))


def _settings(plan: Plan) -> dict[str, Any]:
    return {"evaluates": plan.model, "data": plan.data}


def _is_claimed(plan: Plan, out: Path) -> bool:
    """Whether ``out`` is this evaluation's already; anything else that stands there is refused."""
    config = _settings(plan)
    path = out / "config.json"
    if path.exists():
        there = read_json(path)
        same = isinstance(there, dict) and {k: there.get(k) for k in config} == config
        if not same:
            raise RunError(
                f"{out} holds {_what_is(there)}, and this is an evaluation of {plan.model} on "
                f"{plan.data}. Nothing is overwritten: choose another --out."
            )
        return True
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RunError(f"{out} is not empty, and nothing is overwritten. Choose another --out.")
    return False


def _what_is(config: Any) -> str:
    if isinstance(config, dict) and "evaluates" in config:
        return f"an evaluation of {config['evaluates']} on {config.get('data')}"
    return "a run or a model"


def stage_of(model: str) -> AskingStage | None:
    """The stage a model was trained with: of its run folder, or the built-in model's recipe.

    What it was trained to write is what it is asked for; None for models that we know nothing of.
    """
    run = run_of(model)
    if run is None and model == TINY:
        choice = Choice(model=TINY, data=PUZZLES)
        run = resolve(load_recipe("observe_r1"), choice, Machine(), lambda percent: 0)
    return _own_stage(run, model) if run else None


def run_of(model: str) -> RunConfig | None:
    """The run that a run folder, a stage's folder in it, or a checkpoint came from."""
    for folder in (Path(model), *Path(model).resolve().parents[:3]):
        if _is_run(folder / "config.json"):
            return load_run_config(folder)
    return None


def _is_run(config: Path) -> bool:
    """Models and evaluations have a config.json too; only that of a run has stages."""
    if not config.is_file():
        return False
    try:
        found = read_json(config)
    except RunError:
        return False
    return isinstance(found, dict) and "stages" in found


def _own_stage(run: RunConfig, model: str) -> AskingStage | None:
    """The stage in whose folder the model lies; else the last one that asks questions."""
    parts = Path(model).resolve().parts
    named = {f"{n}-{stage.name}": stage for n, stage in enumerate(run.active_stages, start=1)}
    found = next((named[part] for part in reversed(parts) if part in named), None)
    return (
        run.asking_stage if found is None or isinstance(found, ParamsStage | JudgeStage) else found
    )


def base_settings(name: str, stage: AskingStage | None) -> Evaluation:
    """How a model is asked when nothing else is said."""
    if stage is None:
        return Evaluation(name=name)
    return Evaluation(
        name=name,
        sampling=stage.sampling,
        grammar=stage.grammar,
        extract=stage.extract,
        system_prompt=stage.system_prompt,
    )
