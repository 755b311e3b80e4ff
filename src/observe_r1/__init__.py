"""Observe-R1: dynamic progressive reinforcement learning for vision-language models.

The names below are public and stay; everything else may change. They are loaded when first used, so
that importing the package is quick and needs no deep-learning stack.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observe_r1.data.ladder import build_ladder
    from observe_r1.eval.run import evaluate
    from observe_r1.grading import grade
    from observe_r1.recipes import load_recipe
    from observe_r1.stages.pipeline import train
    from observe_r1.types import Sample

__all__ = ["Sample", "build_ladder", "evaluate", "grade", "load_recipe", "train"]

_HOMES = {
    "Sample": "observe_r1.types",
    "build_ladder": "observe_r1.data.ladder",
    "evaluate": "observe_r1.eval.run",
    "grade": "observe_r1.grading",
    "load_recipe": "observe_r1.recipes",
}


class _TrainPackage(ModuleType):
    """``observe_r1.train`` is the package of the training loop; called, it runs a recipe."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return import_module("observe_r1.stages.pipeline").train(*args, **kwargs)


# The package sits on the public name of the function, so the package itself can be called. Both
# "from observe_r1 import train" and "import observe_r1.train.loop" then mean what they say.
import_module("observe_r1.train").__class__ = _TrainPackage


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'observe_r1' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
