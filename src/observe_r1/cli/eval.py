"""``observe-r1 eval``: how good is a model, and how sure are we."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from observe_r1.cli import eval_options as options
from observe_r1.cli import lmms
from observe_r1.cli.benchmarks import JudgeAt, OfficialScoring, open_benchmark
from observe_r1.cli.console import Stopped, complain, finish, progress, say
from observe_r1.cli.scores_table import print_scores
from observe_r1.cli.sharing import (
    Shard,
    Sharing,
    Store,
    ended_politely,
    sharing_of,
    still_missing,
)  # fmt: skip

if TYPE_CHECKING:
    from observe_r1.config.evaluation import Evaluation
    from observe_r1.config.rollout import EngineConfig
    from observe_r1.config.stages import AskingStage
    from observe_r1.eval.scores import Scores
    from observe_r1.stages.evaluation import Plan
    from observe_r1.types import Sample


def eval_command(
    model: options.Model,
    out: options.Out,
    data: options.Data = None,
    benchmark: options.BenchmarkName = None,
    source: options.Source = None,
    samples: options.Samples = 8,
    greedy: options.Greedy = True,
    limit: options.Limit = None,
    shrink_images_to: options.ShrinkImages = None,
    grammar: options.GrammarName = None,
    extract: options.Extract = None,
    system_prompt: options.SystemPrompt = None,
    temperature: options.Temperature = None,
    max_new_tokens: options.MaxNewTokens = None,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    engine: options.EngineName = "",
    endpoint: options.Endpoints = None,
    concurrency: options.Concurrency = 16,
    store: Store = None,
    shard: Shard = None,
    judge: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "",
    judge_key_variable: options.JudgeKeyVariable = "OPENAI_API_KEY",
    training_data: options.TrainingData = None,
    json: options.AsJson = False,
) -> None:
    """Accuracy with its interval, pass@k, per level and family, lengths, format."""
    answering = _answering(engine, model, endpoint or [], concurrency)
    given = {
        "grammar": grammar, "extract": extract, "system_prompt": system_prompt,
        "temperature": temperature, "max_new_tokens": max_new_tokens, "batch_size": batch_size,
        "seed": seed, "shrink_images_to": shrink_images_to,
    }  # fmt: skip
    if benchmark is not None and benchmark.startswith(lmms.PREFIX):
        _refuse_to_shrink(shrink_images_to, "lmms-eval prepares its pictures itself")
        task = benchmark.removeprefix(lmms.PREFIX)
        finish(_with_lmms(task, model, answering, given, out, source, limit), json)
        return
    reader = JudgeAt(judge, judge_model, judge_key_variable) if judge else None
    asked = _questions(data, benchmark, source, limit, shrink_images_to, judged=reader is not None)
    plan = _plan(model, answering.name, asked.name, samples, greedy, given)
    sharing = _sharing(store, shard, out, batch_size, answering)
    say(f"{model} on {asked.name}: {len(asked.questions)} questions, {_what_is_drawn(plan)}")
    overlap = _look_for_overlap(asked.questions, training_data or _data_of(model))
    scores = _answer(plan, answering, asked.questions, out, sharing)
    if isinstance(scores, int):
        say(still_missing(scores, ()))
        finish({"missing_blocks": scores}, json)
        return
    print_scores(scores)
    official = asked.scoring(out, reader) if asked.scoring else {}
    say(f"wrote {out}")
    result = {s.name: s.to_dict() for s in scores}
    finish({"out": str(out), "scores": result, **official, **overlap}, json)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked, under which name, and the benchmark's own scoring if it is one."""

    name: str
    questions: "Sequence[Sample]"
    scoring: OfficialScoring | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers: an engine and the model it opens."""

    model: str
    name: str
    """What the answers are recorded under: a run's checkpoint, as the run itself may go on."""
    engine: "EngineConfig"

    @property
    def is_server(self) -> bool:
        return self.engine.type == "endpoint"


def _answering(engine: str, model: str, urls: list[str], concurrency: int) -> Answering:
    from observe_r1.stages.engines import engine_config
    from observe_r1.stages.models import locate_and_name

    config = engine_config(engine, model, urls, concurrency=concurrency * max(1, len(urls)))
    if config.type == "endpoint":
        return Answering(model, model, config)
    return Answering(*locate_and_name(model), config)


def _plan(
    model: str, recorded_as: str, name: str, samples: int, greedy: bool, given: dict[str, Any]
) -> "Plan":
    from observe_r1.stages.evaluation import Plan, stage_of

    if not samples and not greedy:
        raise typer.BadParameter("nothing would be asked: give --samples 1 or more, or --greedy.")
    settings = _settings(name, stage_of(model), given)
    return Plan(model=recorded_as, data=name, samples=samples, greedy=greedy, settings=settings)


def _sharing(
    store: str | None, shard: str | None, out: Path, batch_size: int, answering: Answering
) -> Sharing | None:
    beside = out.with_name(f"{out.name}-work")
    return sharing_of(
        store, shard, beside=beside, at_least=batch_size, is_server=answering.is_server
    )


def _with_lmms(
    task: str, model: str, answering: Answering, given: dict[str, Any], out: Path,
    source: str | None, limit: int | None,
) -> dict[str, Any]:  # fmt: skip
    from observe_r1.stages.evaluation import stage_of

    settings = _settings(_as_folder_name(task), stage_of(model), given)
    return lmms.evaluate_with_lmms(
        task, answering.model, answering.engine, settings, out,
        recorded_as=answering.name, limit=limit, tasks_folder=source,
        most_tokens=given["max_new_tokens"],
    )  # fmt: skip


def _data_of(model: str) -> str | None:
    """What the model was trained on, where it comes out of a run folder."""
    from observe_r1.stages.evaluation import run_of

    run = run_of(model)
    return run.data if run else None


def _answer(
    plan: "Plan", answering: Answering, questions: "Sequence[Sample]", out: Path,
    sharing: Sharing | None,
) -> "list[Scores] | int":  # fmt: skip
    """The scores; where workers share the questions and some are missing, how many batches."""
    from observe_r1.stages.engines import open_engine
    from observe_r1.stages.evaluation import run_plan, run_shared_plan

    with (
        open_engine(answering.model, answering.engine) as engine,
        progress("answering", len(questions) * len(plan.evaluations())) as tick,
    ):
        try:
            if sharing is None:
                return run_plan(plan, engine, questions, out, tick)
            with ended_politely():
                return run_shared_plan(
                    plan, engine, questions, out, sharing.store, sharing.settings, tick
                )
        except KeyboardInterrupt:
            place = sharing.store if sharing else out
            raise Stopped(
                f"What was answered is in {place}; the same command goes on from there."
            ) from None


def _questions(
    data: str | None, benchmark: str | None, source: str | None, limit: int | None,
    shrink_images_to: int | None, *, judged: bool,
) -> Asked:  # fmt: skip
    from observe_r1.config.questions import PUZZLES
    from observe_r1.errors import ConfigError
    from observe_r1.stages.questions import load_held_out

    if (data is None) == (benchmark is None):
        raise ConfigError(
            "give either --data (a data folder, or 'puzzles') or --benchmark (for example "
            "mathvision): that is what the model is asked."
        )
    if benchmark is not None:
        return Asked(*open_benchmark(benchmark, source, limit, shrink_images_to))
    _refuse_to_shrink(shrink_images_to, "give it to 'data import', which stores them like that")
    if judged:
        raise ConfigError(
            "--judge reads answers for benchmarks whose own scoring asks a language model; those "
            "to --data are marked by rule. Leave it out, or give --benchmark."
        )
    assert data is not None  # one of the two was given
    name = PUZZLES if data == PUZZLES else Path(data).resolve().name
    return Asked(_as_folder_name(name), load_held_out(data, limit))


def _refuse_to_shrink(pixels: int | None, reason: str) -> None:
    from observe_r1.errors import ConfigError

    if pixels is not None:
        raise ConfigError(f"--shrink-images-to is for the files of a --benchmark: {reason}.")


def _as_folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"


def _settings(name: str, stage: "AskingStage | None", given: dict[str, Any]) -> "Evaluation":
    """What the model was trained with, changed by what the command line gives."""
    from observe_r1.config.evaluation import Evaluation
    from observe_r1.stages.evaluation import base_settings

    settings = base_settings(name, stage).model_dump(mode="json")
    for key, value in given.items():
        if value is not None:
            place = settings["sampling"] if key in ("temperature", "max_new_tokens") else settings
            place[key] = value
    return Evaluation.build(settings, "these settings")


def _what_is_drawn(plan: "Plan") -> str:
    drawn = [f"{plan.samples} sampled answers each"] if plan.samples else []
    drawn += ["the most probable answer"] if plan.greedy else []
    return " and ".join(drawn)


def _look_for_overlap(questions: "Sequence[Sample]", training: str | None) -> dict[str, Any]:
    """Say before any number how many questions the training data holds."""
    if training is None:
        return {}
    from observe_r1.stages.overlap import find_overlap

    found = find_overlap(questions, training)
    if found:
        complain(
            f"WARNING: {len(found)} of {len(questions)} questions are also in {training}, for "
            f"example {found[0].question_id} ({found[0].what} of {found[0].training_id}). "
            "The numbers below are too good by an unknown amount."
        )
    else:
        say(f"none of the questions is in the training data {training}")
    return {"overlap_with_training": [o.question_id for o in found]}
