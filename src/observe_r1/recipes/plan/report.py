"""The plan of an RL stage on a machine: memory by part, seconds by phase, and which settings fit.

stage + shape + device + lengths ─▶ Plan      as it is set
                                 ─▶ variants  what else fits, the fastest first
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any

from observe_r1.config.explain import build
from observe_r1.config.overrides import merge
from observe_r1.config.stages import RLStage
from observe_r1.recipes.plan.devices import Device
from observe_r1.recipes.plan.memory import Memory, memory_of
from observe_r1.recipes.plan.seconds import Layout, StepClock, trained_parameters
from observe_r1.recipes.plan.shapes import ModelShape
from observe_r1.recipes.plan.workload import Lengths, Workload, workload_of

GPUS_A_MACHINE = 8
USABLE = 0.94
"""Of a card's memory: the driver keeps some, and the estimate is one."""

LORA = {"rank": 64, "alpha": 128}
CHANGES: tuple[Mapping[str, Any], ...] = (
    {"policy": {"lora": None, "freeze_vision": False, "freeze_aligner": False}},
    {"policy": {"lora": None, "freeze_vision": True, "freeze_aligner": True}},
    {"policy": {"lora": LORA, "freeze_vision": True, "freeze_aligner": True}},
)
"""What is trained: everything, the language model, adapters."""
ENGINES = ({"type": "shared_prefill"}, {"type": "vllm"})
ADAPTERS_LEARN = 10
"""How many times the learning rate of full training adapters take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One stage with one set of settings on one machine.

    Example:
        plan = make_plan(stage, find_shape("Qwen2.5-VL-3B"), find_gpu("h100"), gpus=8)
        plan.fits, plan.memory.total, plan.seconds
    """

    stage: RLStage
    layout: Layout
    work: Workload
    memory: Memory
    phases: Mapping[str, float]
    usable_gb: float
    trained: float
    """Parameters that the optimizer moves."""

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.usable_gb

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())

    @property
    def tokens(self) -> dict[str, float]:
        """Of a step, over all GPUs."""
        prompts = self.stage.prompts_per_step
        return {
            "prompt": prompts * self.work.lengths.prompt,
            "generated": prompts * self.work.group * self.work.completion,
            "trained": prompts * self.work.trained_share * self.work.row,
        }

    @property
    def settings(self) -> dict[str, str]:
        """What distinguishes variants, in words."""
        policy = self.stage.policy
        kind = "adapters" if policy.lora else "all"
        if not policy.lora and policy.freeze_vision:
            kind = "language model"
        return {
            "trained": kind,
            "weights": "sharded (FSDP2)" if self.layout.sharded else "whole on each GPU",
            "checkpointing": "yes" if policy.gradient_checkpointing else "no",
            "engine": self.stage.engine.type,
        }


def make_plan(
    stage: RLStage,
    shape: ModelShape,
    device: Device,
    *,
    gpus: int = 1,
    lengths: Lengths | None = None,
    trained_share: float = 1.0,
    sharded: bool | None = None,
) -> Plan:
    """The plan; ``sharded`` None: whole weights on each GPU if they fit, else sharded."""
    work = workload_of(stage, gpus, lengths or Lengths(), trained_share)
    nodes = ceil(gpus / GPUS_A_MACHINE)

    def planned(layout: Layout) -> Plan:
        process = getattr(device, "process_gb", None)
        memory = memory_of(
            shape, stage, work, layout, device.memory_gb, process, is_gpu=device.overlaps
        )
        return Plan(
            stage=stage,
            layout=layout,
            work=work,
            memory=memory,
            phases=StepClock(device, shape, stage, work, layout, memory.at_once).phases(),
            usable_gb=USABLE * device.memory_gb,
            trained=trained_parameters(shape, stage),
        )

    whole = planned(Layout(gpus, nodes, sharded=False))
    if gpus == 1 or sharded is False or (sharded is None and whole.fits):
        return whole
    return planned(Layout(gpus, nodes, sharded=True))


def variants(plan: Plan, shape: ModelShape, device: Device) -> list[Plan]:
    """The same stage with other settings of memory and speed, those that fit first, fastest
    first; never with another number of rollouts."""
    found: dict[tuple[str, ...], Plan] = {}
    for change, sharded in _changes(plan.layout.gpus):
        stage = _changed(plan.stage, change)
        other = make_plan(
            stage, shape, device, gpus=plan.layout.gpus, lengths=plan.work.lengths,
            trained_share=plan.work.trained_share, sharded=sharded,
        )  # fmt: skip
        found.setdefault(tuple(other.settings.values()), other)
    return sorted(found.values(), key=lambda other: (not other.fits, other.seconds))


def _changes(gpus: int) -> Iterator[tuple[dict[str, Any], bool]]:
    spreads = (False, True) if gpus > 1 else (False,)
    for trained, engine, checkpoints, sharded in product(CHANGES, ENGINES, (False, True), spreads):
        policy = {**trained["policy"], "gradient_checkpointing": checkpoints}
        yield {"policy": policy, "engine": engine}, sharded


def _changed(stage: RLStage, change: Mapping[str, Any]) -> RLStage:
    return build(RLStage, merge(stage.model_dump(mode="json"), change), "a variant")


def overrides_of(plan: Plan, stage: RLStage) -> list[str]:
    """What to add to the command line to get from ``stage`` to the plan's settings."""
    found = []
    wanted, there = plan.stage.policy, stage.policy
    if wanted.lora != there.lora:
        lora = wanted.lora
        value = f"{{rank={lora.rank},alpha={lora.alpha:g}}}" if lora else "none"
        found.append(f"{stage.name}.policy.lora={value}")
        if lora and not there.lora:
            found += [
                f"{stage.name}.optimizer.{name}={ADAPTERS_LEARN * rate:g}"
                for name in ("lr", "min_lr") if (rate := getattr(stage.optimizer, name))
            ]  # fmt: skip
    for name in ("freeze_vision", "freeze_aligner", "gradient_checkpointing"):
        if getattr(wanted, name) != getattr(there, name):
            found.append(f"{stage.name}.policy.{name}={str(getattr(wanted, name)).lower()}")
    if plan.stage.engine.type != stage.engine.type:
        found.append(f"{stage.name}.engine.type={plan.stage.engine.type}")
    return found


_SMALLER = "use smaller images (--shrink-images-to of 'data import')"
ADVICE = {
    "decode": "Decoding takes longest: lower max_new_tokens, or let more GPUs share the prompts.",
    "prompts": f"Prompts take longest: {_SMALLER}.",
    "encode images": f"Encoding images takes longest: {_SMALLER}.",
    "forward": "The update takes longest: switch gradient checkpointing off where memory allows, "
    "or let more GPUs share the rows.",
    "backward": "The update takes longest: freeze the vision tower, train adapters, or let more "
    "GPUs share the rows.",
    "old log-probs": "Old log-probs take longest: fewer updates a rollout need fewer of them.",
    "reference": "The reference takes longest: without a KL term there is none.",
    "optimizer": "The optimizer takes longest: fewer updates a rollout, or weights sharded.",
    "communication": "Sending takes longest: keep weights whole on each GPU (adapters help), or "
    "stay on one machine.",
}


def advice(plan: Plan) -> str:
    """What to change first."""
    slowest = max(plan.phases, key=lambda name: plan.phases[name])
    if slowest == "decode" and plan.stage.engine.type == "shared_prefill":
        return "Decoding takes longest: use vLLM, or decode more at once (engine.max_sequences)."
    return ADVICE[slowest]


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan's numbers."""
    return {
        "settings": plan.settings,
        "gpus": plan.layout.gpus,
        "nodes": plan.layout.nodes,
        "fits": plan.fits,
        "usable_gb": plan.usable_gb,
        "memory_gb": plan.memory.parts,
        "total_memory_gb": plan.memory.total,
        "trained_parameters": plan.trained,
        "tokens_per_step": plan.tokens,
        "seconds": dict(plan.phases),
        "step_seconds": plan.seconds,
    }
