"""Which questions a stage asks."""

from typing import Self

from pydantic import Field, model_validator

from observe_r1.config_base import Config

PUZZLES = "puzzles"
"""What the built-in questions are called where data is named."""


class Questions(Config):
    """The run's own questions, others, or some of either.

    Example:
        Questions(source="puzzles", families=("knights",), stream=3, count=500)
    """

    source: str | None = None
    """A data folder, or ``puzzles``; None: the data of the run."""

    stream: int | None = None
    """With ``puzzles``: fresh ones from this training stream instead of the built-in ladder. They
    carry no solve rate."""

    families: tuple[str, ...] = ()
    """Only these families; with a stream any puzzle family, also ``file.py:ClassName``. Empty:
    all of the data, or the families of the built-in mix."""

    puzzle_levels: tuple[int, ...] = ()
    """Only puzzles made at these levels; empty: at any."""

    solve_rate: tuple[float, float] = (0.0, 1.0)
    """Only questions whose probed solve rate lies within; both ends count. Narrower than 0 to 1,
    questions that were not probed are left out."""

    count: int | None = Field(default=None, ge=1)
    """At most so many, spread evenly over the order they come in; needed with a stream, which has
    no end."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.solve_rate
        if not 0.0 <= low <= high <= 1.0:
            raise ValueError(f"solve_rate is {low} to {high}; it lies between 0 and 1, low first.")
        if self.stream is not None and self.source != PUZZLES:
            raise ValueError("a stream is of puzzles. Set source to 'puzzles', or leave it out.")
        if self.stream is not None and self.count is None:
            raise ValueError("a stream of puzzles has no end. Say how many: count=500.")
        return self

    @property
    def is_everything(self) -> bool:
        """Whether this is the data of the run as it is."""
        return self == Questions()
