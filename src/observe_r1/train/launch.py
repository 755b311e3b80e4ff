"""What a launcher asks of a run, read from what it told this process: followed, or refused.

    accelerate launch, torchrun          a replica in each process
    --use_fsdp --fsdp_version 2          sharded by FSDP2
    --use_deepspeed, ZeRO 0              a replica in each process
                     ZeRO 1, 2           sharded by FSDP2, a layer's weights kept until its backward
                     ZeRO 3              sharded by FSDP2

A DeepSpeed configuration is followed in what it asks for, and carried out by PyTorch: DeepSpeed's
engine wants to own model, optimizer and step, which a stage has settings for. Its buckets, streams
and prefetching are of that engine and mean nothing here; its optimizer, precision, batch size and
offloading would be others than the stage's, and are refused.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.errors import ConfigError

ALONE = "One process: nothing is shared out."
DEEPSPEED, FSDP = "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"
RESHARD = "FSDP_RESHARD_AFTER_FORWARD"
OFFLOADS = {"offload_optimizer": "cpu_offload", "offload_param": "cpu_offload_params"}
"""And what DeepSpeed called them before."""
THE_STAGES_OWN = {
    "optimizer": "optimizer", "scheduler": "optimizer.schedule", "fp16": "policy.dtype",
    "bf16": "policy.dtype", "gradient_clipping": "optimizer.grad_clip",
    "train_batch_size": "prompts_per_step and group_size",
    "train_micro_batch_size_per_gpu": "policy.max_tokens_per_microbatch",
    "gradient_accumulation_steps": "policy.max_tokens_per_microbatch",
}  # fmt: skip
"""Keys of a DeepSpeed file, and the settings that say the same of a stage."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How the processes of a run share the model."""

    sharded: bool = False
    reshard: bool = True
    """Whether a layer's weights are given back between forward and backward."""
    note: str | None = None
    """What is done otherwise than the launcher's name for it suggests."""


def read_launch() -> Launch:
    """Raises where the launcher asks for what nothing here would follow."""
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", ""):
        raise ConfigError(
            f"the launcher asks for mixed precision ({precision}), and a stage has its own: "
            "policy.dtype, with float32 copies of half-precision weights. Launch with "
            "--mixed_precision no."
        )
    if not is_asked(DEEPSPEED) and not is_asked(FSDP):
        return Launch()
    if is_alone():
        return Launch(note=ALONE)
    return _deepspeed() if is_asked(DEEPSPEED) else _fsdp()


def is_alone() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def is_asked(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("true", "1", "yes")


def settle_launch() -> Launch:
    """What the launcher asks for, told to Accelerate as it is done. Others ask Accelerate too
    (trackers, supervised stages), and it would start DeepSpeed's engine, or shard the model of a
    process that is alone."""
    launch = read_launch()
    if is_asked(DEEPSPEED) or is_asked(FSDP):
        os.environ |= {
            DEEPSPEED: "false", FSDP: str(launch.sharded).lower(), "FSDP_VERSION": "2",
            RESHARD: str(launch.reshard).lower(),
        }  # fmt: skip
    return launch


def _fsdp() -> Launch:
    if os.environ.get("FSDP_VERSION", "2") != "2":
        raise ConfigError(
            "the launcher asks for FSDP version 1, and models are sharded by FSDP2 here. Launch "
            "with --fsdp_version 2, or fsdp_version: 2 in its config file."
        )
    if is_asked("FSDP_OFFLOAD_PARAMS"):
        raise ConfigError(
            "the launcher asks for weights on the CPU (fsdp_offload_params), which has not been "
            "tested. Set it to false, and use more GPUs, adapters (policy.lora), or "
            "policy.gradient_checkpointing=true."
        )
    return Launch(sharded=True, reshard=os.environ.get(RESHARD, "true").lower() != "false")


def _deepspeed() -> Launch:
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
    written = _read(Path(file)) if file else {}
    for name, setting in _contradicting(written):
        raise ConfigError(
            f"the launcher's DeepSpeed configuration sets {name}, and a stage has its own: "
            f"{setting}. Leave it out there, or set it to 'auto'."
        )
    zero = _entry(written, "zero_optimization")
    for name, device in _offloads(zero):
        if device not in ("none", ""):
            raise ConfigError(
                f"the launcher's DeepSpeed configuration moves numbers to the {device} ({name}), "
                "which has not been tested. Set it to none, and use more GPUs, adapters "
                "(policy.lora), or policy.gradient_checkpointing=true."
            )
    told = 0 if file else os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", 2)  # their defaults
    stage = zero.get("stage", told)
    if str(stage) not in ("0", "1", "2", "3"):
        raise ConfigError(f"DeepSpeed has no ZeRO stage {stage}. Set zero_stage to 0, 1, 2 or 3.")
    sharded = int(stage) > 0
    how = "weights, gradients and optimizer states are sharded by FSDP2"
    note = (
        f"ZeRO-{stage} is asked for: {how if sharded else 'every process has a whole copy'}. "
        "PyTorch carries it out; DeepSpeed's engine is not started."
    )
    return Launch(sharded=sharded, reshard=int(stage) == 3, note=note)


def _read(path: Path) -> dict[str, Any]:
    try:
        written = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"the launcher's DeepSpeed file {path} cannot be read: {error}") from None
    if not isinstance(written, dict):
        raise ConfigError(f"the launcher's DeepSpeed file {path} holds no JSON object.")
    return written


def _entry(written: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Absent and null are nothing."""
    value = written.get(name) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"the launcher's DeepSpeed configuration has {value!r} as {name}, where a group of "
            "keys belongs."
        )
    return value


def _offloads(zero: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be kept elsewhere, and where."""
    for name, older in OFFLOADS.items():
        told = os.environ.get(f"ACCELERATE_DEEPSPEED_{name.upper()}_DEVICE", "none")
        yield name, _entry(zero, name).get("device", told)
        yield older, "cpu" if zero.get(older) else "none"


def _contradicting(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a DeepSpeed file or the launcher decides that a stage decides too."""
    for name, setting in THE_STAGES_OWN.items():
        value = written.get(name, "auto")
        if isinstance(value, Mapping) and name in ("fp16", "bf16"):
            value = value.get("enabled", "auto") or "auto"  # false is what leaving it out means
        if value != "auto":
            yield name, setting
    for name, nothing in (("gradient_clipping", "none"), ("gradient_accumulation_steps", "1")):
        if os.environ.get(f"ACCELERATE_{name.upper()}", "auto") not in ("auto", nothing):
            yield name, THE_STAGES_OWN[name]
