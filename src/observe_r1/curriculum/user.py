"""A curriculum of the user's own: ``file.py:ClassName``, a subclass of ``Curriculum``.

curriculum = { type = "user", path = "my_curriculum.py:ShortFirst", settings = { share = 0.5 } }
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.curriculum.base import Curriculum
from observe_r1.errors import ConfigError, ObserveError
from observe_r1.types import Sample
from observe_r1.user_code import PLACE, line_of, load_callable


class User(Config):
    """Whatever a class of the user's chooses."""

    type: Literal["user"] = "user"

    path: str = Field(pattern=PLACE)
    """The file and the class in it: "my_curriculum.py:ShortFirst"; relative to the working
    directory. See examples/my_curriculum.py."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Given to the class by name, after the samples and the seed."""

    def start(self, samples: Sequence[Sample], seed: int) -> Curriculum:
        what = "(Curriculum), see examples/my_curriculum.py"
        try:
            made = load_callable(self.path, "curriculum", what)(samples, seed, **self.settings)
        except ObserveError:
            raise
        except Exception as error:  # the user's code: whatever it raises has a line
            raise ConfigError(
                f"curriculum '{self.path}' could not be started: {type(error).__name__}: {error}"
                f"{line_of(error)}"
            ) from error
        if not isinstance(made, Curriculum):
            raise ConfigError(
                f"curriculum '{self.path}' is no subclass of observe_r1.curriculum.Curriculum; see "
                "examples/my_curriculum.py."
            )
        return made
