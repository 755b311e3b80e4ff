"""``observe-r1 eval``: a model on a data folder, the puzzles or a benchmark.

out/ config.json  env.json  samples.jsonl  images/
     eval/<name>/         predictions.jsonl  scores.json      sampled answers
     eval/<name>-greedy/  …                                   the most probable answer
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import Evaluation
from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.errors import RunError
from observe_r1.eval.asked import keep_questions
from observe_r1.eval.run import evaluate
from observe_r1.eval.scores import Scores
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, write_json
from observe_r1.rollout.base import RolloutEngine
from observe_r1.stages.environment import environment
from observe_r1.stages.models import TINY
from observe_r1.stages.pipeline import load_run_config
from observe_r1.stages.questions import PUZZLES
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


def _claim(plan: Plan, out: Path) -> None:
    """Write what is evaluated; another model's or another data's folder is not written into."""
    config: dict[str, Any] = {"evaluates": plan.model, "data": plan.data}
    path = out / "config.json"
    if path.exists():
        there = read_json(path)
        same = isinstance(there, dict) and {k: there.get(k) for k in config} == config
        if not same:
            raise RunError(
                f"{out} holds another run or evaluation, and nothing is overwritten. "
                "Choose another --out."
            )
        return
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RunError(f"{out} is not empty, and nothing is overwritten. Choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "env.json", environment(resumed=False))
    write_json(path, config)


def stage_of(model: str) -> RLStage | None:
    """The RL stage a model was trained with: of its run folder, or the built-in model's recipe.

    What it was trained to write is what it is asked for; None for models that we know nothing of.
    """
    run = run_of(model)
    if run is None and model == TINY:
        choice = Choice(model=TINY, data=PUZZLES)
        run = resolve(load_recipe("observe_r1"), choice, Machine(), lambda percent: 0)
    return run.stages[-1] if run else None


def run_of(model: str) -> RunConfig | None:
    """The run that a run folder, or a checkpoint in one, came from."""
    for folder in (Path(model), *Path(model).resolve().parents[:2]):
        if (folder / "config.json").is_file() and (folder / "checkpoints").is_dir():
            return load_run_config(folder)
    return None


def base_settings(name: str, stage: RLStage | None) -> Evaluation:
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
