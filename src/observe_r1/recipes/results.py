"""What is known of a recipe in numbers: the committed results of its experiment.

docs/results/<name>.json     written by ``observe-r1 reproduce NAME --results docs/results``
docs/results/head_to_head.json    all methods on one budget and one mix of puzzles
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from observe_r1.config.run import Recipe
from observe_r1.config.stage_base import PREVIOUS
from observe_r1.config.stages import Stage
from observe_r1.records import read_json

HEAD_TO_HEAD = "head_to_head"
NOT_RUN = "not run yet"
NO_EXPERIMENT = "no experiment"
VERDICTS = ("holds", "does not", "not decided")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The method's own arm of a committed experiment, mean over seeds, and its claims' verdicts.

    Example:
        Measured(accuracy=0.52, length=31.0, rollouts=6100, seconds=214.0, verdict="holds",
                 verdicts={"holds": 3, "does not": 1}, quick=False, seeds=5)
    """

    accuracy: float | None
    length: float | None
    """Tokens an answer."""
    rollouts: float | None
    seconds: float | None
    """Median over seeds: a trial that another program held up says nothing of the method."""
    verdict: str
    """Of the first claim, which is the method's main one."""
    verdicts: dict[str, int]
    """How many claims came out how."""
    quick: bool
    seeds: int
    missing: int = 0
    """Trials that have not been run yet."""
    on_gpu: float = 0.0
    """Share of the trials that ran on a GPU."""

    @property
    def said(self) -> str:
        """The verdicts in words.

        Example:
            "holds (of 6: 3 hold, 2 do not, 1 not decided)"
        """
        words = {"holds": "hold", "does not": "do not", "not decided": "not decided"}
        parts = [f"{self.verdicts[v]} {words[v]}" for v in VERDICTS if self.verdicts.get(v)]
        total = sum(self.verdicts.values())
        quick = ", quick form" if self.quick else ""
        unfinished = f", {self.missing} trials to come" if self.missing else ""
        return f"{self.verdict} (of {total}: {', '.join(parts)}{quick}{unfinished})"

    @property
    def minutes(self) -> str:
        """Of training, in words; a mean over processors and GPUs says nothing.

        Example:
            "3.6", "0.9 (GPU)"
        """
        if self.seconds is None or 0.0 < self.on_gpu < 1.0:
            return "-"
        return f"{self.seconds / 60:.1f}" + (" (GPU)" if self.on_gpu else "")


def results_folder() -> Path:
    """Where committed results are: in the repository, or in the installed package."""
    package = Path(__file__).parents[1]
    installed = package / "results"
    return installed if installed.is_dir() else package.parents[1] / "docs" / "results"


def read_result(name: str, folder: Path | None = None) -> dict[str, Any] | None:
    """The committed result of an experiment as it was written; None where there is none."""
    path = (folder or results_folder()) / f"{name}.json"
    return read_json(path) if path.exists() else None


def measured(name: str, folder: Path | None = None) -> Measured | None:
    """What the committed experiment of a recipe says; None where it was not run."""
    result = read_result(name, folder)
    if result is None or not result["claims"]:
        return None
    arms = result["arms"]
    own_name = result.get("method") or next(iter(arms))
    own = arms.get(own_name, {"mean": {}, "seeds": []})
    numbers = own["mean"]
    return Measured(
        accuracy=numbers.get("accuracy"),
        length=numbers.get("length"),
        rollouts=numbers.get("rollouts", None),
        seconds=_median_seconds(result, own_name, numbers),
        verdict=result["claims"][0]["verdict"],
        verdicts=dict(Counter(row["verdict"] for row in result["claims"])),
        quick=result["quick"],
        seeds=len(own["seeds"]),
        missing=result.get("missing", 0),
        on_gpu=numbers.get("on_gpu", 0.0),
    )


def _median_seconds(result: Mapping[str, Any], arm: str, mean: Mapping[str, float]) -> float | None:
    trials = result.get("trials", {}).get(arm, {})
    seconds = [trial["seconds"] for trial in trials.values() if "seconds" in trial]
    return median(seconds) if seconds else mean.get("seconds")


def verdict_of(name: str, result: Measured | None, experiments: Collection[str]) -> str:
    """What is known of a recipe's claims, in words, where nothing is too.

    Example:
        verdict_of("dr_grpo", None, ["observe_r1"]) == "no experiment"
    """
    if result is not None:
        return result.said
    return NOT_RUN if name in experiments else NO_EXPERIMENT


def stage_types(recipe: Recipe) -> str:
    """The types of the stages that run, in order.

    Example:
        stage_types(load_recipe("ton")) == "sample → sft → rl"
    """
    return " → ".join(stage.type for stage in recipe.stages if not stage.skip)


def stage_diagram(recipe: Recipe) -> str:
    """The stages that run, by name, with their types and what they start from.

    Example:
        stage_diagram(load_recipe("ton")) == "thoughts (sample, from base) → sft → rl"
    """
    return " → ".join(_stage_word(stage) for stage in recipe.stages if not stage.skip)


def _stage_word(stage: Stage) -> str:
    told = [] if stage.name == stage.type else [stage.type]
    told += [] if stage.start_from == PREVIOUS else [f"from {stage.start_from}"]
    return f"{stage.name} ({', '.join(told)})" if told else stage.name
