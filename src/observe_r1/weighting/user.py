"""A group weight of the user's own: ``file.py:function``.

# my_weight.py
def doubt(groups_P):
    '''groups_P: observe_r1.types.ScoredGroup, those of the step; returns a number for each.'''
    return [1.0 if 0.0 < group.solve_rate < 1.0 else 0.5 for group in groups_P]

weight = { type = "user", path = "my_weight.py:doubt" }
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.errors import TrainingError
from observe_r1.types import ScoredGroup
from observe_r1.user_code import PLACE, line_of, load_callable


class UserWeight(Config):
    """Whatever a function of the user's returns for the groups of a step."""

    type: Literal["user"] = "user"

    path: str = Field(pattern=PLACE)
    """The file and the function in it: "my_weight.py:doubt"; relative to the working directory."""

    def __call__(self, groups_P: Sequence[ScoredGroup]) -> list[float]:
        function = load_callable(self.path, "weight", "(groups_P): return a number for each")
        try:
            weights_P = [float(weight) for weight in function(groups_P)]
        except Exception as error:  # the user's code: whatever it raises has a line
            raise TrainingError(
                f"weight '{self.path}' raised {type(error).__name__}: {error}{line_of(error)}. It "
                "must return a number for each group; fix it and resume."
            ) from error
        if len(weights_P) != len(groups_P) or not all(
            math.isfinite(weight) and weight >= 0 for weight in weights_P
        ):
            raise TrainingError(
                f"weight '{self.path}' returned {weights_P} for {len(groups_P)} groups. It must "
                "return a finite number, 0 or more, for each."
            )
        return weights_P
