"""The recipe of an exported folder: written once by the export, read by every piece of the plug-in.

plan = read_plan("cluster/plan.json")
plan.stage.weight.sigma
"""

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from observe_r1.config.explain import build
from observe_r1.config.stages import RLStage
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError, RunError
from observe_r1.records import read_json

FORMAT = 1
FILE = "plan.json"


class Plan(Config):
    """What is trained, and on how much."""

    format: Literal[1] = FORMAT
    """Changes when an older plug-in could no longer read it."""

    written_by: str
    """Version of this package that exported the folder."""

    recipe: str
    preset: str
    model: str
    data: str
    deviations: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()
    """Who is told of every step besides the console; none named: TensorBoard, in the folder."""

    stage: RLStage
    """Everything the recipe means. Files that rewards need lie in the folder too."""

    steps: int
    """Steps of the whole run."""

    questions: int
    """Rows of the training data."""

    @property
    def replaces_rejected(self) -> bool:
        """Whether rejected groups are drawn again until the batch is full."""
        return self.stage.admission.type != "all" and self.stage.redraw.max_rounds > 0


@lru_cache(maxsize=4)
def read_plan(path: str) -> Plan:
    """The plan in a file; the files it names are looked for beside it."""
    values = read_json(Path(path))
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise RunError(
            f"{path} has format {found}, but observe-r1 {version('observe-r1')} reads format "
            f"{FORMAT}. Export the folder again with the version that is installed here."
        )
    stage = map_reward_files(values["stage"], lambda file: str(Path(path).parent / file))
    return build(Plan, {**values, "stage": stage}, path)


def map_reward_files(value: Any, place: Callable[[str], str]) -> Any:
    """A stage's values with ``place(file)`` for every file that a reward reads, nested or not."""
    if isinstance(value, list | tuple):
        return [map_reward_files(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: map_reward_files(item, place) for key, item in value.items()}
    match inner:
        case {"type": "user", "path": str(path)}:
            file, _, function = path.rpartition(":")
            inner["path"] = f"{place(file)}:{function}"
        case {"type": "style", "judge": str(judge)}:
            inner["judge"] = place(judge)
    return inner


def plan_path(settings: Any, where: str) -> str:
    """The path that a part of verl's configuration holds for us."""
    path = settings.get("observe_r1") if settings is not None else None
    if not path:
        raise ConfigError(
            f"{where}.observe_r1 is not set, so the plug-in does not know its recipe. Start the "
            "run with the run.sh of a folder written by 'observe-r1 export verl'."
        )
    return str(path)
