"""Held-out questions measured while a stage trains, into ``eval/step-000040(-greedy)/``."""

from collections.abc import Sequence
from pathlib import Path

from observe_r1.config.evaluation import Evaluation, HeldOut
from observe_r1.config.stages import AskingStage
from observe_r1.eval.run import evaluate
from observe_r1.eval.scores import Scores
from observe_r1.rollout.base import RolloutEngine
from observe_r1.stages.questions import load_held_out, refuse_overlap
from observe_r1.types import Sample


def prepare_held_out(heldout: HeldOut, training: Sequence[Sample], data: str) -> Sequence[Sample]:
    """The questions to measure on, none of which is trained on; empty when none were named."""
    if heldout.data is None:
        return ()
    questions = load_held_out(heldout.data, heldout.questions or None)
    refuse_overlap(questions, training, data)
    return questions


def measure_held_out(
    heldout: HeldOut,
    questions: Sequence[Sample],
    stage: AskingStage,
    run: Path,
    engine: RolloutEngine,
    step: int,
) -> dict[str, float]:
    """Metrics of the present weights on the held-out questions; none when there are none."""
    if not questions:
        return {}
    sampled = _evaluate(engine, questions, stage, run, step, samples=heldout.samples)
    metrics = _metrics(sampled, "eval")
    if heldout.greedy:
        greedy = _evaluate(engine, questions, stage, run, step, samples=None)
        metrics |= _metrics(greedy, "eval/greedy")
    return metrics


def evaluation_of(
    stage: AskingStage, name: str, *, samples: int | None, seed: int | None = None
) -> Evaluation:
    """Answers drawn and read as the stage trains; ``samples`` None: greedy."""
    return Evaluation(
        name=name if samples else f"{name}-greedy",
        greedy=samples is None,
        samples=samples or 1,
        sampling=stage.sampling,
        grammar=stage.grammar,
        extract=stage.extract,
        system_prompt=stage.system_prompt,
        seed=stage.seed if seed is None else seed,
    )


def _evaluate(
    engine: RolloutEngine,
    questions: Sequence[Sample],
    stage: AskingStage,
    run: Path,
    step: int,
    *,
    samples: int | None,
) -> Scores:
    config = evaluation_of(stage, f"step-{step:06d}", samples=samples)
    folder = run / "eval" / config.name
    return evaluate(engine, questions, config, folder, model=f"step {step}")


def _metrics(scores: Scores, prefix: str) -> dict[str, float]:
    found = {
        "accuracy": scores.accuracy.value,
        "accuracy_lenient": scores.accuracy_lenient.value,
        "format": scores.format_valid.value,
        "length": scores.mean_tokens,
    }
    return {f"{prefix}/{name}": value for name, value in found.items() if value is not None}
