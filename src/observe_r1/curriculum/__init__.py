"""Which samples come next. A curriculum sees every scored group and resumes exactly.

    ladder    in ladder order, once; later epochs re-graded by what training showed
    shuffled  seeded epochs
    rungs     one rung at a time: up on a solve-rate threshold, back on collapse
    pools     by running solve rate, with a share of each batch a pool
    context   short to long in phases, the hardest of the earlier ones brought back
    user      a class of the user's own, by its file

To add one: a file with a config (``type`` and ``start``) and a ``Curriculum``, and a name in the
union.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from observe_r1.curriculum.base import Curriculum
from observe_r1.curriculum.context import Context
from observe_r1.curriculum.ladder import Ladder
from observe_r1.curriculum.pools import Pools
from observe_r1.curriculum.rungs import Rungs
from observe_r1.curriculum.shuffled import Shuffled
from observe_r1.curriculum.user import User
from observe_r1.types import Sample

CurriculumConfig = Annotated[
    Ladder | Shuffled | Rungs | Pools | Context | User,
    Field(discriminator="type"),
]

__all__ = [
    "Context",
    "Curriculum",
    "CurriculumConfig",
    "Ladder",
    "Pools",
    "Rungs",
    "Shuffled",
    "User",
    "build_curriculum",
]


def build_curriculum(
    config: Ladder | Shuffled | Rungs | Pools | Context | User,
    samples: Sequence[Sample],
    seed: int,
) -> Curriculum:
    """The curriculum of a config over some samples; the same seed draws the same batches.

    Example:
        curriculum = build_curriculum(Shuffled(), read_samples("runs/ladder"), seed=42)
        samples_P = curriculum.next_batch(128)
    """
    return config.start(samples, seed)
