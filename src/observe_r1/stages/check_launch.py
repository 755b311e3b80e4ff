"""Whether every stage can be trained by the processes it was launched with."""

import os
from collections.abc import Sequence

from observe_r1.config.dpo import DPOStage
from observe_r1.config.rollout import VLLM, VLLMServer
from observe_r1.config.sft import SFTStage
from observe_r1.config.stages import RLStage, Stage
from observe_r1.errors import ConfigError
from observe_r1.train.launch import read_launch

SupervisedStage = SFTStage | DPOStage


def check_launch(stages: Sequence[Stage]) -> None:
    """Refuse, at the start, what a later stage would refuse when its turn has come."""
    sharded = read_launch().sharded
    world = int(os.environ.get("WORLD_SIZE", "1"))
    for stage in stages:
        if isinstance(stage, SupervisedStage):
            refuse_sharded(stage, sharded)
            share_of_step(stage, world)
        if isinstance(stage, RLStage):
            refuse_sharded_adapters(stage, sharded)


def refuse_sharded_adapters(stage: RLStage, sharded: bool) -> None:
    if sharded and stage.policy.lora and isinstance(stage.engine, VLLM | VLLMServer):
        raise ConfigError(
            f"{stage.name} asks for adapters (policy.lora), a sharded model and vLLM at once, "
            "which has not been tested. Use engine.type=shared_prefill, or launch without sharding "
            "(examples/clusters/eight_gpus_replicas.yaml)."
        )


def refuse_sharded(stage: SupervisedStage, sharded: bool) -> None:
    """TRL's trainers work on whole models."""
    if sharded:
        raise ConfigError(
            f"stage '{stage.name}': supervised stages are trained on replicas, and the launcher "
            "asks for sharded ones (FSDP, or DeepSpeed's ZeRO). Launch with "
            "examples/clusters/eight_gpus_replicas.yaml or zero_stage 0, and with adapters "
            "(policy.lora) if the model is too large for one device."
        )


def share_of_step(stage: SupervisedStage, world: int) -> int:
    """How many examples of a step each of ``world`` processes learns from."""
    share, rest = divmod(stage.examples_per_step, world)
    if rest or not share:
        raise ConfigError(
            f"{stage.name}.examples_per_step is {stage.examples_per_step}, which {world} processes "
            f"cannot share evenly. Set it to a multiple of {world}."
        )
    return share
