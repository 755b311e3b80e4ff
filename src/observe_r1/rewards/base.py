"""What every reward has: a weight and a name of its own in the records."""

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.rewards.attempt import Attempt


class RewardConfig(Config):
    """Settings shared by all rewards. A reward is its settings and a function of one attempt.

    A plain reward says its value in ``__call__``. One made of others names them in ``inner`` and
    says in ``combine`` what their values make together.
    """

    weight: float = Field(default=1.0, allow_inf_nan=False)
    """What the reward is multiplied by in the total."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$")
    """Name in the records; the type when unset. Two rewards of one type need names."""

    @property
    def label(self) -> str:
        """The reward's name in the records."""
        return self.name or type(self).model_fields["type"].default

    @property
    def waits(self) -> bool:
        """Whether the reward spends its time waiting for an answer from elsewhere."""
        return False

    def __call__(self, attempt: Attempt) -> float:
        """The value of one completion, before the weight."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it rewards")

    def inner(self, attempt: Attempt) -> tuple["RewardConfig", ...]:
        """The rewards it is made of, as far as this attempt needs them."""
        return ()

    def combine(self, values: tuple[float, ...], attempt: Attempt) -> float:
        """The value made of the inner rewards' weighted values, before the weight."""
        return self(attempt)
