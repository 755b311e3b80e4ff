"""What the pieces of one run share inside verl's driver process.

verl builds its data set, its replay buffer and its estimators apart from each other; in the driver
all three live in one process, so they meet here. There is one run a process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from observe_r1.curriculum import Curriculum
from observe_r1.errors import TrainingError
from observe_r1.integrations.verl.credit import Credit

PADDING = "pad"
"""verl's filler rows have keys that begin with this."""


@dataclass(slots=True)
class Live:
    """The run in this process."""

    curriculum: Curriculum | None = None
    """Set by the data set, fed by the replay buffer."""
    credits: Mapping[str, Credit] = field(default_factory=dict)
    """Of the batch that is being trained on, by the key of the row."""

    def credit(self, key: str) -> Credit | None:
        """What a row is worth; None for a filler."""
        if key in self.credits:
            return self.credits[key]
        if key.startswith(PADDING):
            return None
        raise TrainingError(
            f"row {key} has no credit. The estimator 'observe_r1' works with the replay buffer "
            "trainer.v1.sampler.custom_sampler of this package and with trainer.use_v1=true: start "
            "the run with the run.sh that 'observe-r1 export verl' wrote."
        )


LIVE = Live()
