"""``observe-r1 eval MODEL --benchmark lmms:TASK``: a task of lmms-eval's, scored by lmms-eval."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.cli.console import Stopped, print_table, progress, say

if TYPE_CHECKING:
    from observe_r1.config.evaluation import Evaluation
    from observe_r1.config.rollout import EngineConfig

PREFIX = "lmms:"


def evaluate_with_lmms(
    task: str,
    model: str,
    engine: "EngineConfig",
    settings: "Evaluation",
    out: Path,
    *,
    recorded_as: str,
    limit: int | None,
    tasks_folder: str | None,
    most_tokens: int | None,
) -> dict[str, Any]:
    """Ask, let lmms-eval score, print its numbers; returns what ``--json`` shows."""
    import lmms_eval  # noqa: F401 - it is optional: say so before a model is loaded

    from observe_r1.stages.engines import open_engine
    from observe_r1.stages.lmms import FOLDER, run_task

    say(f"{model} on lmms-eval's {task}, the most probable answer unless the task samples")
    with open_engine(model, engine) as opened, progress("answering", None) as tick:
        try:
            found = run_task(
                task, opened, settings, out, recorded_as=recorded_as, limit=limit,
                tasks_folder=tasks_folder, most_tokens=most_tokens, tick=tick,
            )  # fmt: skip
        except KeyboardInterrupt:
            raise Stopped(
                f"What was answered is in {out / FOLDER}; the same command goes on from there."
            ) from None
    rows = [
        (name, metric, f"{value:.4g}" if isinstance(value, int | float) else str(value))
        for name, metrics in found["results"].items()
        for metric, value in metrics.items()
        if metric != "alias"
    ]
    print_table(
        f"{found['answers']} answers, scored by lmms-eval", ["task", "metric", ""], rows,
        num_text_columns=2,
    )  # fmt: skip
    say(f"wrote {out / FOLDER}")
    return {"out": str(out), "lmms": found}
