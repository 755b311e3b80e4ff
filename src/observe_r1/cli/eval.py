"""``observe-r1 eval``: how good is a model, and how sure are we."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import Stopped, complain, finish, progress, say

if TYPE_CHECKING:
    from observe_r1.config.evaluation import Evaluation
    from observe_r1.config.stages import RLStage
    from observe_r1.stages.engines import EngineConfig
    from observe_r1.stages.evaluation import Plan
    from observe_r1.types import Sample


def eval_command(
    model: Annotated[
        str, typer.Argument(help="A checkpoint or run folder, a hub name, or 'tiny'.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    data: Annotated[
        str | None, typer.Option(help="A data folder, or the held-out 'puzzles'.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="A published benchmark, for example mathvision.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The benchmark's files: a folder, a file, or a hub name.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Sampled answers a question; 0: greedy only.")
    ] = 8,
    greedy: Annotated[bool, typer.Option(help="Measure the most probable answer too.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many questions.")] = None,
    grammar: Annotated[str | None, typer.Option(help="Tags that are asked for.")] = None,
    extract: Annotated[
        str | None, typer.Option(help="Where the answer stands: tagged, boxed or plain.")
    ] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="Instead of the grammar's own; '' for none.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0)] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at once.")] = 32,
    seed: Annotated[int, typer.Option(help="Start of the random numbers.")] = 0,
    engine: Annotated[
        str, typer.Option(help="shared_prefill, vllm or endpoint.")
    ] = "shared_prefill",
    base_url: Annotated[
        str, typer.Option(help="Address of the endpoint.")
    ] = "http://127.0.0.1:8000/v1",
    judge: Annotated[
        str | None,
        typer.Option(help="Address of a model that reads answers, where asked for."),
    ] = None,
    training_data: Annotated[
        str | None, typer.Option(help="Look for the questions in this training data first.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Accuracy with its interval, pass@k, per level and family, lengths, format."""
    from observe_r1.cli.scores_table import print_scores
    from observe_r1.stages.engines import open_engine
    from observe_r1.stages.evaluation import Plan, run_of, run_plan, stage_of
    from observe_r1.stages.models import locate_model

    name, questions, scoring = _questions(data, benchmark, source, limit)
    settings = _settings(
        name, stage_of(model), grammar=grammar, extract=extract, system_prompt=system_prompt,
        temperature=temperature, max_new_tokens=max_new_tokens, batch_size=batch_size, seed=seed,
    )  # fmt: skip
    if not samples and not greedy:
        raise typer.BadParameter("nothing would be asked: give --samples 1 or more, or --greedy.")
    plan = Plan(model=model, data=name, samples=samples, greedy=greedy, settings=settings)
    located = locate_model(model) if engine != "endpoint" else model
    say(f"{model} on {name}: {len(questions)} questions, {_what_is_drawn(plan)}")
    run = run_of(model)
    contamination = _look_for_overlap(questions, training_data or (run.data if run else None))
    with (
        open_engine(located, _engine_config(engine, base_url, model)) as opened,
        progress("answering", len(questions) * len(plan.evaluations())) as tick,
    ):
        try:
            scores = run_plan(plan, opened, questions, out, tick)
        except KeyboardInterrupt:
            raise Stopped(
                f"What was answered is in {out}; the same command goes on from there."
            ) from None
    print_scores(scores)
    official = scoring(out, judge) if scoring else {}
    say(f"wrote {out}")
    result = {s.name: s.to_dict() for s in scores}
    finish({"out": str(out), "scores": result, **official, **contamination}, json)


OfficialScoring = Callable[[Path, str | None], dict[str, Any]]
"""From the evaluation's folder and a judge's address to the benchmark's own numbers."""


def _questions(
    data: str | None, benchmark: str | None, source: str | None, limit: int | None
) -> "tuple[str, Sequence[Sample], OfficialScoring | None]":
    """What is asked, under which name, and the benchmark's own scoring if it is one."""
    from observe_r1.errors import ConfigError
    from observe_r1.stages.questions import PUZZLES, load_held_out

    if (data is None) == (benchmark is None):
        raise ConfigError(
            "give either --data (a data folder, or 'puzzles') or --benchmark (for example "
            "mathvision): that is what the model is asked."
        )
    if benchmark is not None:
        from observe_r1.cli.benchmarks import open_benchmark

        return open_benchmark(benchmark, source, limit)
    assert data is not None  # one of the two was given
    name = PUZZLES if data == PUZZLES else Path(data).resolve().name
    return _as_folder_name(name), load_held_out(data, limit), None


def _as_folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"


def _settings(
    name: str, stage: "RLStage | None", batch_size: int, seed: int, temperature: float | None,
    max_new_tokens: int | None, **given: str | None,
) -> "Evaluation":  # fmt: skip
    """What the model was trained with, changed by what the command line gives."""
    from observe_r1.config.evaluation import Evaluation
    from observe_r1.stages.evaluation import base_settings

    settings = base_settings(name, stage).model_dump(mode="json")
    sampling = {"temperature": temperature, "max_new_tokens": max_new_tokens}
    settings["sampling"] |= {key: v for key, v in sampling.items() if v is not None}
    settings |= {key: value for key, value in given.items() if value is not None}
    settings |= {"batch_size": batch_size, "seed": seed}
    return Evaluation.build(settings, "these settings")


def _engine_config(engine: str, base_url: str, model: str) -> "EngineConfig":
    from observe_r1.config.near import did_you_mean
    from observe_r1.config.rollout import VLLM, Endpoint, SharedPrefill
    from observe_r1.errors import ConfigError

    known = {
        "shared_prefill": SharedPrefill,
        "vllm": VLLM,
        "endpoint": lambda: Endpoint.build({"base_url": base_url, "model": model}, "the endpoint"),
    }
    if engine not in known:
        raise ConfigError(f"there is no engine '{engine}'.{did_you_mean(engine, known)}")
    return known[engine]()


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
