"""Which tokens of a response a loss looks at."""

from typing import Self

from pydantic import model_validator

from observe_r1.config_base import Config


class Spans(Config):
    """Parts of a response by section; the whole response when nothing is said.

    A section is its tags and what is between them. The end token is part of the loss unless
    ``only`` or ``except_`` say otherwise.

    Example:
        Spans(only=("answer",))      Spans(without=("observe",))      Spans(since="think")
    """

    only: tuple[str, ...] = ()
    """Only these sections; empty: all of the response."""

    without: tuple[str, ...] = ()
    """All but these sections."""

    since: str | None = None
    """From the opening tag of this section to the end of the response."""

    end_token: bool = True
    """Whether the token that ends the response is learnt."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        said = [name for name in ("only", "without", "since") if getattr(self, name)]
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} exclude each other. Set one of them.")
        return self
