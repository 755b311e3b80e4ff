"""A judge stage: texts of two styles → ``judge.json``, and rewards that find it there."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from observe_r1.config.judge import JudgeStage
from observe_r1.config.stages import RLStage
from observe_r1.data.traces import TraceSet
from observe_r1.data.transforms.sections import section
from observe_r1.errors import DataError
from observe_r1.records import append_rows
from observe_r1.rewards.style_judge import StyleJudge, fit_judge, save_judge

JUDGE = "judge.json"
logger = logging.getLogger(__name__)


def run_judge(
    stage: JudgeStage,
    *,
    style: TraceSet,
    other: TraceSet,
    run: Path,
    notify: Callable[[int, dict[str, float]], None] = lambda step, metrics: None,
) -> None:
    """Fit, check and keep the judge; one that cannot tell the styles apart is refused."""
    texts, others = _texts(style, stage.section), _texts(other, stage.section)
    shared = set(texts) & set(others)  # too short to have a style: of no use on either side
    judge = fit_judge(
        [text for text in texts if text not in shared],
        [text for text in others if text not in shared],
        seed=stage.seed,
        held_out_share=stage.held_out_share,
    )
    metrics = _refuse_blind(judge, stage)
    run.mkdir(parents=True, exist_ok=True)
    append_rows(run / "metrics.jsonl", [{"step": 1, **metrics}])
    save_judge(judge, run / JUDGE)
    notify(1, metrics)


def _texts(traces: TraceSet, tag: str) -> list[str]:
    """What stands in the section, each text once, in order."""
    found = (section(row.response, tag) for row in traces.rows)
    return list(dict.fromkeys(text.strip() for text in found if text and text.strip()))


def _refuse_blind(judge: StyleJudge, stage: JudgeStage) -> dict[str, float]:
    checks = judge.checks
    assert checks is not None  # fit_judge always checks
    if checks.auc < stage.least_auc:
        raise DataError(
            f"stage '{stage.name}': the judge tells held-out texts apart with an area under the "
            f"curve of {checks.auc:.2f}, and at least {stage.least_auc:g} is asked for. Give it "
            "more traces, traces that differ more, or lower least_auc."
        )
    if checks.is_length_detector:
        logger.warning(
            "stage %s: at equal lengths the judge's area under the curve falls from %.2f to %.2f: "
            "its reward is mostly a penalty for length",
            stage.name, checks.auc, checks.auc_length_matched,
        )  # fmt: skip
    return {f"judge/{name}": float(value) for name, value in asdict(checks).items()}


def with_judges(stage: RLStage, folder_of: Callable[[str], Path | None]) -> RLStage:
    """The stage with every ``style`` reward told where the judge stage it names left its judge."""

    def resolved(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: resolved(item) for key, item in value.items()}
        if found.get("type") == "style" and (folder := folder_of(str(found["judge"]))):
            found["judge"] = str(folder / JUDGE)
        return found

    values = stage.model_dump(mode="json")
    return RLStage.model_validate({**values, "rewards": resolved(values["rewards"])})
