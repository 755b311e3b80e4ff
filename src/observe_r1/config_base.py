"""The base of every setting: frozen, closed, and documented by the docstring under each field."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from observe_r1.errors import ConfigError


class Config(BaseModel):
    """A frozen record of settings that refuses unknown keys.

    Example:
        class Bonus(Config):
            coefficient: float = Field(default=0.2, ge=0)
            '''Extra reward of the shortest correct completion.'''
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        ser_json_inf_nan="constants",
    )

    @classmethod
    def build(cls, values: Any, what: str) -> Self:
        """Validate ``values``; ``what`` names them in the message, e.g. "recipe 'grpo'"."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(explain(error, what)) from None


def explain(error: ValidationError, what: str) -> str:
    """One line a problem, each with its path: what pydantic found, said as we say things."""
    lines = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"]) or "(all of it)"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "there is no such setting"
        lines.append(f"  {path}: {message}")
    return f"{what} is not valid:\n" + "\n".join(lines)


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """``"rl.max_steps=4"`` → ``(("rl", "max_steps"), 4)``; values are TOML, else text."""
    import tomllib

    path, equals, raw = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"override '{text}' has no '='. Write section.key=value.")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    return tuple(path.strip().split(".")), value
