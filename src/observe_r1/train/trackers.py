"""Trackers switched on by name: tensorboard, wandb, trackio. Accelerate talks to them.

The run folder holds everything already; trackers are for those who look at runs elsewhere.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from observe_r1.errors import ConfigError

PROJECT = "observe-r1"


class Trackers:
    """Gets every step's metrics; nothing happens where no tracker is named.

    Example:
        with Trackers(["tensorboard"], Path("runs/first"), {"recipe": "observe_r1"}) as trackers:
            trackers.log("rl", 1, {"accuracy": 0.5})
    """

    def __init__(
        self, names: Sequence[str], run: Path, settings: Mapping[str, str | float]
    ) -> None:
        for name in names:
            if importlib.util.find_spec(name) is None:
                raise ConfigError(
                    f"tracking.trackers names {name}, which is not installed. Install it with "
                    f"'pip install {name}', or leave it out: the run folder has every metric."
                )
        self.names = tuple(names)
        self.run = run
        self.settings = dict(settings)
        self._open: list[Any] = []
        self._stage = ""
        self._before = self._last = 0

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Steps go on counting from stage to stage, as trackers want them to rise."""
        if not self.names:
            return
        if stage != self._stage:
            self._stage, self._before = stage, self._last
        self._last = self._before + step
        for tracker in self._opened():
            tracker.log({f"{stage}/{name}": value for name, value in metrics.items()}, self._last)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for tracker in self._open:
            tracker.finish()

    def _opened(self) -> list[Any]:
        """Opened with the first step: a run that never begins leaves nothing behind, and processes
        that train together have found each other by then."""
        if not self._open:
            from accelerate.tracking import LOGGER_TYPE_TO_CLASS

            for name in self.names:
                kind = LOGGER_TYPE_TO_CLASS[name]
                place = (str(self.run),) if kind.requires_logging_directory else ()
                tracker = kind(PROJECT, *place)
                tracker.start()
                tracker.store_init_configuration(self.settings)
                self._open.append(tracker)
        return self._open
