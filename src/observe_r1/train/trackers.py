"""Trackers switched on by name: tensorboard, wandb, trackio. Accelerate talks to them.

The run folder holds everything already; trackers are for those who look at runs elsewhere.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from observe_r1.errors import ConfigError

KNOWN = ("tensorboard", "wandb", "trackio")


class Trackers:
    """Gets every step's metrics; nothing happens where no tracker is named.

    Example:
        with Trackers(["tensorboard"], Path("runs/first"), settings) as trackers:
            run_rl(stage, ..., notify=trackers.log)
    """

    def __init__(self, names: Sequence[str], run: Path, settings: Mapping[str, Any]) -> None:
        if strangers := sorted(set(names) - set(KNOWN)):
            raise ConfigError(
                f"There is no tracker {', '.join(strangers)}. Choose from {', '.join(KNOWN)}."
            )
        self._accelerator: Any = None
        if names:
            self._accelerator = _open(names, run, settings)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if self._accelerator is not None:
            self._accelerator.log(dict(metrics), step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._accelerator is not None:
            self._accelerator.end_training()


def _open(names: Sequence[str], run: Path, settings: Mapping[str, Any]) -> Any:
    from accelerate import Accelerator

    accelerator = Accelerator(log_with=list(names), project_dir=str(run))
    flat = {key: value for key, value in settings.items() if isinstance(value, (int, float, str))}
    try:
        accelerator.init_trackers("observe-r1", config=flat)
    except ImportError as error:
        raise ConfigError(f"A tracker asked for is not installed: {error}. Install it.") from None
    return accelerator
