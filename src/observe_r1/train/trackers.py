"""Trackers switched on by name: tensorboard, wandb, trackio. Accelerate talks to them.

The run folder holds everything already; trackers are for those who look at runs elsewhere.
"""

import importlib.util
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch

from observe_r1.config.run import Tracking
from observe_r1.errors import ConfigError
from observe_r1.records import read_json, write_json
from observe_r1.train.launch import is_alone

STORE = "trackers.json"
"""What trackers that keep runs elsewhere know this one by, so that a resumed run goes on there."""


class Trackers:
    """Gets every step's metrics; nothing happens where no tracker is named.

    Example:
        tracking = Tracking(trackers=("tensorboard",))
        with Trackers(tracking, Path("runs/first"), {"recipe": "observe_r1"}) as trackers:
            trackers.log("rl", 1, {"accuracy": 0.5})
    """

    def __init__(
        self, tracking: Tracking, run: Path, settings: Mapping[str, Any], *, steps_before: int = 0
    ) -> None:
        """``settings`` are shown beside the curves; ``steps_before`` are those of stages that an
        earlier part of the run has ended."""
        for name in tracking.trackers:
            if importlib.util.find_spec(name) is None:
                raise ConfigError(
                    f"tracking.trackers names {name}, which is not installed. Install it with "
                    f"'pip install {name}', or leave it out: the run folder has every metric."
                )
        self.names = tracking.trackers
        self.tracking = tracking
        self.run = run
        self.settings = {key: _plain(value) for key, value in settings.items()}
        self._open: list[Any] = []
        self._waiting: list[tuple[dict[str, float], int]] = []
        self._stage = ""
        self._before = self._last = steps_before

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Steps go on counting from stage to stage, as trackers want them to rise."""
        if not self.names:
            return
        if stage != self._stage:
            self._stage, self._before = stage, self._last
        self._last = self._before + step
        named = {f"{stage}/{name}": value for name, value in metrics.items()}
        self._waiting.append((named, self._last))
        if _processes_have_met():
            self._send()

    def _send(self) -> None:
        """Opened with the first step: a run that never begins leaves nothing behind."""
        for tracker in self._opened():
            for metrics, step in self._waiting:
                tracker.log(metrics, step)
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for tracker in self._open:
            tracker.finish()

    def _opened(self) -> list[Any]:
        if not self._open:
            from accelerate.tracking import LOGGER_TYPE_TO_CLASS

            for name in self.names:
                tracker = LOGGER_TYPE_TO_CLASS[name](self.tracking.project, **self._told(name))
                tracker.start()
                tracker.store_init_configuration(self.settings)
                self._open.append(tracker)
        return self._open

    def _told(self, tracker: str) -> dict[str, Any]:
        """What each wants to know of a run, in its own words."""
        if tracker == "tensorboard":
            return {"logging_dir": str(self.run)}
        name = self.tracking.name or self.run.resolve().name
        known = read_json(self.run / STORE) if (self.run / STORE).exists() else {}
        is_new = tracker not in known
        if is_new:
            known[tracker] = uuid.uuid4().hex[:8]
            write_json(self.run / STORE, known)
        if tracker == "wandb":
            return {"name": name, "id": known[tracker], "resume": "allow"}
        # trackio goes by names, and folders in two places may have the same.
        return {"name": f"{name}-{known[tracker]}", "resume": "never" if is_new else "allow"}


def _processes_have_met() -> bool:
    """Accelerate's trackers ask which process they are in. While the first draws traces alone the
    others have not come, and to ask then would be to wait for them."""
    from accelerate.state import PartialState

    if is_alone():
        PartialState(cpu=not torch.cuda.is_available())
        return True
    return bool(PartialState._shared_state)


def _plain(value: Any) -> Any:
    """Trackers take text, numbers and truth values."""
    return value if isinstance(value, str | int | float) else json.dumps(value)
