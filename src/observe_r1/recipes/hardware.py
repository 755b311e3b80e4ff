"""Presets of a machine: how a model of some size is trained on some number of GPUs.

They change what is trained (all of it, or adapters) and how much is computed at a time, never the
number of rollouts a step.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.model_size import billions_of_parameters

MEMORY_TOLERANCE = 0.94
"""A card sold as 80 GB shows a little less or more."""


class Hardware(Config):
    """Settings that make a model of a size fit a machine."""

    name: str
    summary: str
    min_billions: float = Field(ge=0)
    max_billions: float = Field(gt=0)
    gpus: int = Field(ge=1)
    memory_gb: float = Field(gt=0)
    """Memory of each GPU."""
    mode: str = Field(pattern="^(full|lora)$")
    deviations: tuple[str, ...] = ()
    rl: dict[str, Any] = Field(default_factory=dict)
    """Laid over every RL stage; its ``policy`` also over supervised ones, its ``engine`` over those
    that sample."""
    without_vllm: dict[str, Any] | None = None
    """The engine where vLLM is not installed."""

    def for_machine(self, machine: Machine) -> "Hardware":
        """With an engine that is there."""
        if machine.has_vllm or self.without_vllm is None:
            return self
        return self.model_copy(update={"rl": {**self.rl, "engine": self.without_vllm}})


class _HardwareFile(Config):
    hardware: tuple[Hardware, ...]


@cache
def all_hardware() -> tuple[Hardware, ...]:
    """Every machine preset, in the order of the file: the first that fits is taken."""
    source = files("observe_r1.recipes").joinpath("hardware.toml").read_text(encoding="utf-8")
    return build(_HardwareFile, tomllib.loads(source), "hardware.toml").hardware


def find_hardware(name: str) -> Hardware:
    for hardware in all_hardware():
        if hardware.name == name:
            return hardware
    known = [hardware.name for hardware in all_hardware()]
    raise ConfigError(f"there is no hardware preset '{name}'.{did_you_mean(name, known)}")


def choose_hardware(model: str, machine: Machine) -> Hardware | None:
    """The first preset the model and the machine satisfy; None when no preset is made for them."""
    billions = billions_of_parameters(model)
    if billions is None:
        return None
    for hardware in all_hardware():
        fits_model = hardware.min_billions <= billions <= hardware.max_billions
        fits_machine = (
            machine.num_gpus >= hardware.gpus
            and machine.gpu_memory_gb >= hardware.memory_gb * MEMORY_TOLERANCE
        )
        if fits_model and fits_machine:
            return hardware
    return None
