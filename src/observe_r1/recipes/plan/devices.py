"""What a device does in how many seconds: matrix products, moving numbers, starting kernels.

    Gpu        a roofline: the slower of arithmetic and memory, each with an efficiency that was
               measured somewhere (``gpus.toml`` says where)
    Measured   this machine, by small measurements of its own (``observe-r1 plan --gpu measured``)

Both answer the same questions, so what is checked with one holds for the counting with the other.
"""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from math import exp, log
from typing import Literal, Protocol

from pydantic import Field

from observe_r1.config.explain import build
from observe_r1.config.near import did_you_mean
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError

Part = Literal["prompts", "decode", "optimise"]
"""Of a training step: images and prompts once a group, tokens one by one, the update."""


class Device(Protocol):
    """Seconds of the basic operations; ``width`` is bytes a number."""

    name: str
    memory_gb: float
    overlaps: bool
    """Whether kernels run while the next ones are being started."""
    layer_seconds: float
    """Starting all of one layer's kernels, forward."""
    backward_layer_seconds: float
    decode_layer_seconds: float
    recorded_layer_seconds: float | None
    """The same in decoding steps that are recorded and replayed; None: nothing is recorded."""
    decode_step_seconds: float
    """What the built-in engine adds to every step of decoding."""
    engine_step_seconds: float
    """What vLLM adds."""

    def product(self, rows: int, inner: int, columns: int, width: int) -> float:
        """[rows, inner] × [inner, columns]."""
        ...

    def attention(self, queries: float, width: int, seen: float) -> float:
        """Scores and sums of ``queries`` over ``seen`` tokens each."""
        ...

    def move(self, numbers: float, width: int) -> float:
        """Read about one and a half arrays of so many numbers, write one."""
        ...

    def change(self, numbers: float, width: int) -> float:
        """The same for an array that is changed where it lies, as weights are."""
        ...

    def share(self, part: Part, hidden: int) -> float:
        """Counted seconds divided by those that a part of a step took in a model of this width,
        where both are known."""
        ...

    def send(self, bytes_: float, *, across_nodes: bool) -> float:
        """From each process to another."""
        ...


class Gpu(Config):
    """A public data sheet, and shares of it that real programs reach."""

    name: str
    memory_gb: float = Field(gt=0)
    tflops: float = Field(gt=0)
    """Dense bfloat16 products."""
    float32_tflops: float = Field(gt=0)
    bandwidth_gbs: float = Field(gt=0)
    """Of its memory."""
    link_gbs: float = Field(gt=0)
    """To the other GPUs of its machine, one direction."""
    network_gbs: float = Field(default=50.0, gt=0)
    """To other machines, one direction: 400 Gb/s a GPU."""
    source: str
    aliases: tuple[str, ...] = ()

    compute_share: float = Field(default=0.45, gt=0, le=1)
    bandwidth_share: float = Field(default=0.7, gt=0, le=1)
    link_share: float = Field(default=0.7, gt=0, le=1)
    layer_seconds: float = Field(default=8.5e-4, ge=0)
    backward_layer_seconds: float = Field(default=8.5e-4, ge=0)
    decode_layer_seconds: float = Field(default=8.5e-4, ge=0)
    recorded_layer_seconds: float | None = Field(default=2.3e-4, ge=0)
    decode_step_seconds: float = Field(default=0.0, ge=0)
    engine_step_seconds: float = Field(default=2.9e-3, ge=0)
    """What vLLM adds to every step; it starts no kernels one by one."""
    overlaps: bool = True

    def product(self, rows: int, inner: int, columns: int, width: int) -> float:
        peak = self.tflops if width == 2 else self.float32_tflops
        arithmetic = 2 * rows * inner * columns / (peak * 1e12 * self.compute_share)
        numbers = rows * inner + inner * columns + rows * columns
        return max(arithmetic, numbers * width / (self.bandwidth_gbs * 1e9 * self.bandwidth_share))

    def attention(self, queries: float, width: int, seen: float) -> float:
        return 4 * queries * width * seen / (self.tflops * 1e12 * self.compute_share)

    def move(self, numbers: float, width: int) -> float:
        return 2.5 * numbers * width / (self.bandwidth_gbs * 1e9 * self.bandwidth_share)

    def change(self, numbers: float, width: int) -> float:
        return self.move(numbers, width)

    def share(self, part: Part, hidden: int) -> float:
        return 1.0  # it is in the shares above

    def send(self, bytes_: float, *, across_nodes: bool) -> float:
        speed = min(self.link_gbs, self.network_gbs) if across_nodes else self.link_gbs
        return bytes_ / (speed * 1e9 * self.link_share)


class Measured(Config):
    """This machine. Grids are seconds; what lies between two points is read off in logarithms.

    Example (two by two points):
        Measured(name="measured", memory_gb=24, threads=2, rows=(1, 256), sides=(64, 512),
                 products=((2e-6, 8e-5), (4e-5, 2e-3)), …)
    """

    name: str = "measured"
    memory_gb: float
    threads: int
    rows: tuple[int, ...]
    sides: tuple[int, ...]
    products: tuple[tuple[float, ...], ...]
    """``products[i][j]``: rows[i] × sides[j] × sides[j]."""
    numbers: tuple[int, ...]
    moves: tuple[float, ...]
    """Adding two arrays of ``numbers[i]`` numbers into a new one."""
    attention_flops: float
    """Of scaled dot-product attention, a second."""
    layer_seconds: float
    backward_layer_seconds: float
    decode_layer_seconds: float
    recorded_layer_seconds: float | None = None
    decode_step_seconds: float = 0.0
    engine_step_seconds: float = 0.0
    change_seconds: float = Field(default=1e-9, gt=0)
    """Of one number of an array that is changed where it lies, too large for the caches."""
    widths: tuple[int, ...] = (1,)
    """Hidden sizes of models whose whole steps were measured."""
    shares: dict[Part, tuple[float, ...]] = Field(default_factory=dict)
    """Estimated over measured seconds, a width each."""
    process_gb: float = 0.5
    """A process with its libraries and no model."""
    overlaps: bool = False

    def product(self, rows: int, inner: int, columns: int, width: int) -> float:
        side = (inner * columns) ** 0.5
        by_side = [_between(self.rows, [row[j] for row in self.products], rows)
                   for j in range(len(self.sides))]  # fmt: skip
        return _between(self.sides, by_side, side)

    def attention(self, queries: float, width: int, seen: float) -> float:
        return 4 * queries * width * seen / self.attention_flops

    def move(self, numbers: float, width: int) -> float:
        return _between(self.numbers, self.moves, numbers)

    def change(self, numbers: float, width: int) -> float:
        return numbers * self.change_seconds

    def send(self, bytes_: float, *, across_nodes: bool) -> float:
        return 2 * self.move(bytes_ / 4, 4)

    def share(self, part: Part, hidden: int) -> float:
        shares = self.shares.get(part, (1.0,))
        if len(shares) == 1:
            return shares[0]
        inside = min(max(hidden, self.widths[0]), self.widths[-1])
        return _between(self.widths, shares, inside)


def _between(points: Sequence[float], values: Sequence[float], at: float) -> float:
    """Read a curve off in logarithms; past its ends it goes on as its last piece does."""
    last = len(points) - 2
    place = max(0, min(last, sum(point <= at for point in points) - 1))
    low, high = points[place], points[place + 1]
    share = (log(max(at, 1e-9)) - log(low)) / (log(high) - log(low))
    return exp(log(values[place]) + share * (log(values[place + 1]) - log(values[place])))


class _GpuFile(Config):
    gpu: tuple[Gpu, ...]


@cache
def all_gpus() -> tuple[Gpu, ...]:
    """The table ``gpus.toml``."""
    text = files("observe_r1.recipes.plan").joinpath("gpus.toml").read_text(encoding="utf-8")
    return build(_GpuFile, tomllib.loads(text), "gpus.toml").gpu


def find_gpu(name: str) -> Gpu:
    """By name or alias, however it is written: ``h100``, ``H100-80GB``, ``NVIDIA H100 80GB HBM3``.

    Example:
        find_gpu("h100").memory_gb == 80
    """
    wanted = _plain(name)
    for gpu in all_gpus():
        if wanted in {_plain(known) for known in (gpu.name, *gpu.aliases)}:
            return gpu
    known = [gpu.name for gpu in all_gpus()]
    raise ConfigError(
        f"the GPU '{name}' is not on the list.{did_you_mean(name, known, 'It has')} "
        "'measured' measures this machine instead."
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower().removeprefix("nvidia") if c.isalnum())
